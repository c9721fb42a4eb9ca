"""A subquery that is run once for each row."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tree import Node

KIND = "correlated_subquery"
LEAST_LOOPS = 1_000
LEAST_SHARE = 0.2


def correlated_subquery(case: Case) -> Iterator[Verdict]:
    """A subplan that depends on the row outside of it."""
    for above in case.plan.nodes():
        hashed = "hashed SubPlan" in above.texts
        for node in above.children:
            if node.part == "SubPlan" and not hashed:
                loops = node.actual.loops if node.actual is not None else _outer_rows(case, above)
                yield _verdict(case, above, node, loops)


def _outer_rows(case: Case, above: Node) -> float:
    table = case.table(above)
    if table is not None and "Filter" in above.conditions:
        return max(table.rows, above.rows)
    return above.inputs[0].rows if above.inputs else above.rows


def _verdict(case: Case, above: Node, node: Node, loops: float) -> Verdict:
    share = _share(case, above, node, loops)
    what = f"The subquery (node {node.number}) is run {loops:,.0f} times, once for each row of node {above.number}"
    if loops < LEAST_LOOPS:
        return No(KIND, node.number, f"{what}: not often.")
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{what}, but that is only {share:.0%} of the plan.")
    return Finding(
        KIND, node.number, f"{what}: {share:.0%} of the plan.", {"loops": loops, "share": share},
        "Join the outer query with the subquery grouped by the columns that connect them (LEFT JOIN, and COALESCE of a "
        "count to 0). Without that, an index on those columns makes each run short.",
        share, "certain" if node.actual else "likely",
        "write both, compare the rows that they return, and explain both",
    )  # fmt: skip


def _share(case: Case, above: Node, node: Node, loops: float) -> float:
    if node.actual is not None and node.actual.ms:
        return case.plan.share_below(node)
    return min(1.0, node.cost * loops / max(case.plan.root.cost, 1.0))
