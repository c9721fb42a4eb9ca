"""Statistics that are missing or old."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tables import Table

KIND = "statistics_old"
LEAST_ROWS = 1_000.0
CHANGED = 0.5  # of the rows; autovacuum analyzes at a tenth, so that somebody has switched it off or it lags


def statistics_old(case: Case) -> Iterator[Verdict]:
    """Tables whose rows the planner can only guess."""
    for node in case.plan.nodes():
        table = case.table(node)
        if table is not None and table.kind in "rm":
            verdict = _verdict(table, node.number)
            if verdict is not None:
                yield verdict


def _verdict(table: Table, number: int) -> Verdict | None:
    if table.rows < 0 or not any(column.analyzed for column in table.columns.values()):
        if table.pages < 10:
            return No(KIND, number, f"{table.label} has no statistics, but is small.")
        return _finding(table, number, f"{table.label} has no statistics", 0.0)
    changed = table.modified / max(table.rows, 1.0)
    if max(table.rows, table.modified) < LEAST_ROWS or not table.modified:
        return None
    what = f"Since the last ANALYZE of {table.label} ({table.rows:,.0f} rows), {table.modified:,.0f} were changed"
    if changed < CHANGED:
        return No(KIND, number, f"{what}: its statistics serve.")
    return _finding(table, number, what, changed)


def _finding(table: Table, number: int, what: str, changed: float) -> Finding:
    return Finding(
        KIND, number, f"{what}.", {"changed": changed, "modified": table.modified, "rows": table.rows},
        "Analyze it. If that comes back, lower autovacuum_analyze_scale_factor of the table; after a bulk load, "
        "analyze within the load.", 0.0, "likely", f"ANALYZE {table.sql}",
    )  # fmt: skip
