"""A nested loop that runs its inner side very often."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tree import Node

KIND = "nested_loop"
LEAST_LOOPS = 10_000
LEAST_SHARE = 0.3
_ADVICE = "The inner side has no index for the join; one on the columns that are joined, or a join by =, helps."
_COMPUTED = "The inner side is computed, so that no index can serve the join; a join by = lets the planner hash it."


def nested_loop(case: Case) -> Iterator[Verdict]:
    """The inner side of a nested loop that is most of the plan."""
    for node in case.plan.nodes():
        if node.kind == "Nested Loop" and len(node.inputs) == 2:
            outer, inner = node.inputs
            loops = _loops(outer, inner)
            if loops >= LEAST_LOOPS:
                yield _verdict(case, node, outer, inner, loops)


def _loops(outer: Node, inner: Node) -> float:
    return inner.actual.loops if inner.actual is not None else outer.rows


def _verdict(case: Case, node: Node, outer: Node, inner: Node, loops: float) -> Verdict:
    share = share_of_loops(case, node)
    what = f"The nested loop (node {node.number}) runs its inner side {loops:,.0f} times"
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{what}, but that is only {share:.0%} of the plan.")
    if tries_pairs(node) and " OR " in node.conditions.get("Join Filter", ""):
        return No(KIND, node.number, f"{what}, as it tries pairs for the OR in its condition: see or_over_columns.")
    if node.actual is not None and outer.actual is not None and outer.actual.rows > 10 * max(outer.rows, 1.0):
        advice = (
            f"The planner expected {outer.rows:,.0f} rows of node {outer.number} and got {outer.actual.rows:,.0f}; "
            "with a true estimate it would most likely hash instead. See what misjudges them."
        )
        return _finding(node, what, share, loops, advice)
    if tries_pairs(node):
        return _finding(node, what, share, loops, _ADVICE if _is_table(inner) else _COMPUTED)
    return No(KIND, node.number, f"{what} by an index, and the planner judged the rows well: hashing would cost more.")


def _is_table(inner: Node) -> bool:
    """Whether the inner side is a table as it is, of which an index could find the rows."""
    scan = inner.inputs[0] if inner.kind == "Materialize" and inner.inputs else inner
    return scan.kind == "Seq Scan"


def _finding(node: Node, what: str, share: float, loops: float, advice: str) -> Finding:
    return Finding(
        KIND, node.number, f"{what}, which is {share:.0%} of the plan.", {"loops": loops, "share": share}, advice,
        share, "likely", "superset perf explain --analyze …",
    )  # fmt: skip


def tries_pairs(node: Node) -> bool:
    """Whether it is a nested loop that holds each row of one side against all rows of the other."""
    return node.kind == "Nested Loop" and len(node.inputs) == 2 and node.inputs[1].kind in ("Seq Scan", "Materialize")


def share_of_loops(case: Case, node: Node) -> float:
    """The share of the plan that a nested loop takes with its inner side, from 0 to 1."""
    outer, inner = node.inputs
    if inner.actual is not None and inner.actual.ms:
        return case.plan.share_below(inner) + case.plan.share(node)
    return max(0.0, case.plan.share_below(node) - case.plan.share_below(outer))
