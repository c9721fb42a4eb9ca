"""A node that returned ten times as many or as few rows as the planner had expected."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.terms import terms
from superset_ext.plans.tree import Node

KIND = "rows_misjudged"
FACTOR = 10.0
LEAST_ROWS = 1_000.0  # of the larger of both
_BOUND = ("Limit", "Memoize")  # what is below may have been stopped early


def rows_misjudged(case: Case) -> Iterator[Verdict]:
    """The nodes where a misjudgement begins: what they get was judged well, what they return was not."""
    stopped = _stopped(case.plan.root, False)
    for node in case.plan.nodes():
        factor = misjudged(node)
        if node.number in stopped or factor < FACTOR:
            continue
        inherited = next((child for child in node.inputs if misjudged(child) >= FACTOR), None)
        if inherited is not None:
            yield No(KIND, node.number, f"Misjudged {factor:,.0f} times, as node {inherited.number} below it is.")
        else:
            yield _finding(case, node, factor)


def _finding(case: Case, node: Node, factor: float) -> Finding:
    rows = node.actual.rows if node.actual else 0.0
    table, what = case.table(node), f"node {node.number} ({node.kind}{f' on {node.relation}' if node.relation else ''})"
    equal = [term.columns[0] for term in terms(node, table, "Filter", "Index Cond", "Recheck Cond") if term.is_plain]
    advice = "Look for what makes it hard to judge: an expression without statistics, or columns that go together."
    step = "superset perf explain --analyze …"
    if table is not None and table.analyzed_days is None:
        advice, step = f"{table.label} has never been analyzed: analyze it.", f"ANALYZE {table.label}"
    elif table is not None and len(set(equal)) > 1:
        named = ", ".join(dict.fromkeys(equal))
        advice = f"If {named} go together, statistics of them together tell the planner so."
        step = f"CREATE STATISTICS ON {named} FROM {table.label}; ANALYZE {table.label}"
    elif table is not None and equal:
        advice = f"Analyze {table.label}; if that does not help, take a larger sample of {equal[0]}."
        step = f"ALTER TABLE {table.label} ALTER {equal[0]} SET STATISTICS 1000; ANALYZE {table.label}"
    return Finding(
        KIND, node.number, f"The planner expected {node.rows:,.0f} rows of {what}, and it returned {rows:,.0f}.",
        {"expected": node.rows, "returned": rows, "factor": factor}, advice, 0.0, "certain", step,
    )  # fmt: skip


def misjudged(node: Node) -> float:
    """By how much the rows of a node were misjudged, at least 1; 1 where it was not run or few rows are at stake."""
    if node.actual is None or not node.actual.loops:
        return 1.0
    expected, returned = max(node.rows, 1.0), max(node.actual.rows, 1.0)
    if max(expected, returned) * node.actual.loops < LEAST_ROWS:
        return 1.0
    return max(expected / returned, returned / expected)


def _stopped(node: Node, within: bool) -> frozenset[int]:
    """The numbers of nodes that may have been stopped before they returned all of their rows."""
    below = within or node.kind in _BOUND
    if node.kind in ("Sort", "Aggregate", "Hash", "Materialize") and node.kind != "Memoize":
        below = False  # it reads all that is below it
    parts = [_stopped(child, below) for child in node.children]
    return frozenset({node.number} if within else ()).union(*parts)
