"""A node that returned ten times as many or as few rows as the planner had expected."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.findings.extended_statistics import lacking
from superset_ext.plans.misjudged import FACTOR, inherited, misjudged, stopped
from superset_ext.plans.terms import terms
from superset_ext.plans.tree import Node

KIND = "rows_misjudged"


def rows_misjudged(case: Case) -> Iterator[Verdict]:
    """The nodes where a misjudgement begins: what they get was judged well, what they return was not."""
    early = stopped(case.plan.root)
    for node in case.plan.nodes():
        factor = misjudged(node)
        if node.number in early or factor < FACTOR:
            continue
        below = inherited(node)
        if below is not None:
            yield No(KIND, node.number, f"Misjudged {factor:,.0f} times, as node {below.number} below it is.")
        elif lacking(case, node):
            yield No(KIND, node.number, f"Misjudged {factor:,.0f} times: see extended_statistics.")
        else:
            yield _finding(case, node, factor)


def _finding(case: Case, node: Node, factor: float) -> Finding:
    rows = node.actual.rows if node.actual else 0.0
    table, what = case.table(node), f"node {node.number} ({node.kind}{f' on {node.relation}' if node.relation else ''})"
    equal = [term.columns[0] for term in terms(node, table, "Filter", "Index Cond", "Recheck Cond") if term.is_plain]
    advice = "Look for what makes it hard to judge: an expression without statistics, or columns that go together."
    step = "superset perf explain --analyze …"
    if table is not None and table.analyzed_days is None:
        advice, step = f"{table.label} has never been analyzed: analyze it.", f"ANALYZE {table.sql}"
    elif table is not None and equal:
        advice = f"Analyze {table.label}; if that does not help, take a larger sample of {equal[0]}."
        column = table.columns_sql(equal[:1])
        step = f"ALTER TABLE {table.sql} ALTER {column} SET STATISTICS 1000; ANALYZE {table.sql}"
    return Finding(
        KIND, node.number, f"The planner expected {node.rows:,.0f} rows of {what}, and it returned {rows:,.0f}.",
        {"expected": node.rows, "returned": rows, "factor": factor}, advice, 0.0, "certain", step,
    )  # fmt: skip
