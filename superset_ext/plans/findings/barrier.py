"""A CTE, an OFFSET or a function through which no filter passes."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tree import Node

KIND = "barrier"
LEAST_ROWS = 10_000
MOST_KEPT = 0.1
_SCANS = {"CTE Scan": "CTE", "Function Scan": "function", "Subquery Scan": "subquery"}


def barrier(case: Case) -> Iterator[Verdict]:
    """A filter that is applied to all rows of a CTE, a function or a subquery, after they were made."""
    for node in case.plan.nodes():
        if node.kind in _SCANS and "Filter" in node.conditions:
            made = _made(case, node)
            if made >= LEAST_ROWS:
                yield _verdict(case, node, made)


def _made(case: Case, node: Node) -> float:
    """The rows that are made before the filter looks at them."""
    if node.actual is not None:
        return node.actual.all_rows + node.number_of("Rows Removed by Filter") * node.actual.loops
    if node.kind == "CTE Scan":
        part = f"CTE {node.words.get('CTE Name')}"
        return max((other.rows for other in case.plan.nodes() if other.part == part), default=0.0)
    return node.inputs[0].rows if node.inputs else node.rows / MOST_KEPT


def _verdict(case: Case, node: Node, made: float) -> Verdict:
    kept = (node.actual.all_rows if node.actual is not None else node.rows) / made
    name, what = node.words.get("CTE Name") or node.relation or node.alias or "", _SCANS[node.kind]
    seen = f"The filter on the {what} {name} keeps {kept:.1%} of {made:,.0f} rows that were made before"
    if kept > MOST_KEPT:
        return No(KIND, node.number, f"{seen}: most are needed.")
    if node.kind == "CTE Scan" and _readers(case, node) > 1:
        return No(KIND, node.number, f"{seen}, but the CTE is read several times, and made once for all of them.")
    share = _share(case, node)
    return Finding(
        KIND, node.number, f"{seen}.", {"kept": kept, "made": made, "share": share}, _advice(node, what),
        share * (1 - kept), "certain" if node.actual else "likely",
        "write the condition inside, compare the rows, and explain it again",
    )  # fmt: skip


def _readers(case: Case, node: Node) -> int:
    name = node.words.get("CTE Name")
    return sum(other.kind == "CTE Scan" and other.words.get("CTE Name") == name for other in case.plan.nodes())


def _share(case: Case, node: Node) -> float:
    if node.kind != "CTE Scan":
        return case.plan.share_below(node)
    part = f"CTE {node.words.get('CTE Name')}"
    return max((case.plan.share_below(other) for other in case.plan.nodes() if other.part == part), default=0.0)


def _advice(node: Node, what: str) -> str:
    if node.kind == "CTE Scan":
        return (
            "Write the condition inside the CTE, or AS NOT MATERIALIZED, so that only the rows that are kept are made."
        )
    if node.kind == "Function Scan":
        return "Give the function the condition as an argument, or write it as a view, into which a filter passes."
    return f"Write the condition inside the {what}; a window function, LIMIT or OFFSET in it keeps it outside."
