"""An index that leads to many rows which are then thrown away."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.terms import EQUALITY, terms
from superset_ext.plans.tree import Node

KIND = "filter_after_index"
_SCANS = ("Index Scan", "Bitmap Heap Scan")
LEAST_REMOVED = 1_000
MOST_KEPT = 0.2
LEAST_SHARE = 0.1


def filter_after_index(case: Case) -> Iterator[Verdict]:
    """Rows that an index gave and a filter threw away, as counted when the query was run."""
    for node in case.plan.nodes():
        if node.kind in _SCANS and node.actual is not None and node.number_of("Rows Removed by Filter"):
            yield _verdict(case, node)


def _verdict(case: Case, node: Node) -> Verdict:
    loops = node.actual.loops if node.actual else 1.0
    kept = node.actual.all_rows if node.actual else 0.0
    removed = node.number_of("Rows Removed by Filter") * loops
    share, left = case.plan.share_below(node), kept / max(kept + removed, 1.0)
    what = f"The index on {node.relation} led to {kept + removed:,.0f} rows, of which the filter kept {left:.1%}"
    if removed < LEAST_REMOVED or left > MOST_KEPT:
        return No(KIND, node.number, f"{what}: few enough to throw away.")
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{what}, but that is only {share:.0%} of the time.")
    columns = [
        term.columns[0]
        for term in terms(node, case.table(node), "Filter")
        if term.operator == EQUALITY and term.is_plain
    ]
    if not columns:
        return No(KIND, node.number, f"{what}; no column of the filter is simply equal to something.")
    named = ", ".join(dict.fromkeys(columns))
    return Finding(
        KIND, node.number, f"{what}.", {"read": kept + removed, "kept": left, "share": share},
        f"An index that has {named} beside the columns of this one would lead to the rows that are kept.",
        share * (1 - left), "certain", f"superset perf explain --analyze … once {named} is in an index",
    )  # fmt: skip
