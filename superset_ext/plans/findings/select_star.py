"""SELECT * of a wide table."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from superset_ext.plans.case import Case, Finding, No, Verdict

KIND = "select_star"
LEAST_COLUMNS = 15
LEAST_BYTES = 400.0
LEAST_ROWS = 1_000.0


def select_star(case: Case) -> Iterator[Verdict]:
    """All columns of a wide table, read or sorted for a query that may need few."""
    selects = [s for s in case.query.find_all(exp.Select) if s.is_star] if case.query is not None else []
    if not selects:
        return
    outer = any(select.parent is None for select in selects)
    for node in case.plan.nodes():
        table = case.table(node)
        if table is None or len(table.columns) < LEAST_COLUMNS:
            continue
        rows = node.actual.all_rows if node.actual is not None else node.rows
        what = f"SELECT * reads {table.label}, of {len(table.columns)} columns"
        if not outer:
            yield No(KIND, node.number, f"{what}, within a subquery: the planner carries the columns that are used.")
        elif rows < LEAST_ROWS or node.width < LEAST_BYTES:
            yield No(KIND, node.number, f"{what}, but {rows:,.0f} rows of {node.width:,.0f} bytes are not much.")
        else:
            yield Finding(
                KIND, node.number, f"{what}: {rows:,.0f} rows of {node.width:,.0f} bytes each go to Superset.",
                {"rows": rows, "width": node.width, "columns": len(table.columns)},
                "Name the columns that the chart shows: the rest is sent, decoded and cached for nothing.",
                0.0, "likely", "name the columns, and look at the chart's time",
            )  # fmt: skip
