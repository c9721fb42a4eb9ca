"""A function or a cast around a column that hides its index."""

from __future__ import annotations

import re
from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.findings.filter_discards import LEAST_ROWS, LEAST_SHARE, MOST_KEPT
from superset_ext.plans.tables import Table
from superset_ext.plans.terms import Term, terms
from superset_ext.plans.tree import Node

KIND = "function_on_column"
_CAST = re.compile(r"\)?::(\w[\w ]*)")
_CALL = re.compile(r"\b([^\W\d]\w*)\(")
_DATES = ("date_trunc", "date_part", "EXTRACT", "extract", "to_char", "year", "date")


def function_on_column(case: Case) -> Iterator[Verdict]:
    """A scan that filters an expression of a column which has an index of its own."""
    for node in case.plan.nodes():
        table = case.table(node)
        if table is None or not node.reads_all or table.rows < LEAST_ROWS:
            continue
        for term in terms(node, case.table(node), "Filter"):
            if len(term.columns) == 1 and not term.is_plain and not term.is_or:
                verdict = _verdict(case, node, table, term)
                if verdict is not None:
                    yield verdict


def _verdict(case: Case, node: Node, table: Table, term: Term) -> Verdict | None:
    column, wrapped = term.columns[0], _wrapper(term.text)
    if wrapped is None:
        return None
    indexes, share = table.indexes_on(column), case.plan.share(node)
    what = f"The filter on {table.label} compares {wrapped} of {column}, not {column} itself"
    if not indexes:
        return No(KIND, node.number, f"{what}; no index begins with {column} that this would hide.")
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{what}, but the scan is only {share:.0%} of the plan.")
    if node.actual is not None and node.actual.rows > MOST_KEPT * table.rows:
        return No(KIND, node.number, f"{what}, but keeps so many rows that an index would not help.")
    return Finding(
        KIND, node.number, f"{what}, so that {indexes[0].name} cannot find the rows.", {"share": share},
        _advice(column, wrapped), share, "certain" if node.actual else "likely",
        f"write the filter on {column} itself, and explain it again",
    )  # fmt: skip


def _wrapper(text: str) -> str | None:
    """What is around the column: a function, or a cast."""
    if (call := _CALL.search(text)) is not None and call[1].lower() not in ("any", "all", "not"):
        return f"{call[1]}(…)"
    cast = _CAST.search(text.split("=")[0])
    return f"a cast to {cast[1].strip()}" if cast else None


def _advice(column: str, wrapped: str) -> str:
    if wrapped.rstrip("(…)").lower() in {name.lower() for name in _DATES}:
        return (
            f"Write it as a range of {column} itself ({column} >= the first moment AND {column} < the one after the "
            "last): that means the same of dates and times without a zone, and can use the index."
        )
    if wrapped.startswith("a cast"):
        return f"Compare {column} with a value of its own type, or make an index on the cast if that cannot be."
    return f"Compare {column} itself, or make an index on the expression if that cannot be."
