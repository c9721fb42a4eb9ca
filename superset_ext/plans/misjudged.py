"""Where in a plan that was run the planner's estimate of rows begins to be far off."""

from __future__ import annotations

from superset_ext.plans.tree import Node

FACTOR = 10.0
LEAST_ROWS = 1_000.0  # of the larger of both
_BOUND = ("Limit", "Memoize")  # what is below may have been stopped early


def misjudged(node: Node) -> float:
    """By how much the rows of a node were misjudged, at least 1; 1 where it was not run or few rows are at stake."""
    if node.actual is None or not node.actual.loops:
        return 1.0
    expected, returned = max(node.rows, 1.0), max(node.actual.rows, 1.0)
    if max(expected, returned) * node.actual.loops < LEAST_ROWS:
        return 1.0
    return max(expected / returned, returned / expected)


def inherited(node: Node) -> Node | None:
    """The input that was misjudged already, if one was."""
    return next((child for child in node.inputs if misjudged(child) >= FACTOR), None)


def stopped(node: Node, within: bool = False) -> frozenset[int]:
    """The numbers of nodes that may have been stopped before they returned all of their rows."""
    below = within or node.kind in _BOUND
    if node.kind in ("Sort", "Aggregate", "Hash", "Materialize") and node.kind != "Memoize":
        below = False  # it reads all that is below it
    parts = [stopped(child, below) for child in node.children]
    return frozenset({node.number} if within else ()).union(*parts)
