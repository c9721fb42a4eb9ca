"""An OR over several columns, for which no one index serves."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.findings.filter_discards import LEAST_ROWS, LEAST_SHARE, MOST_KEPT, kept_share
from superset_ext.plans.findings.nested_loop import share_of_loops, tries_pairs
from superset_ext.plans.terms import terms
from superset_ext.plans.tree import Node

KIND = "or_over_columns"
# What gives the same rows without the OR, by the type of the join.
_WAYS = {
    "Inner": "Write it as a UNION ALL of two joins, of which the second one excludes what the first one has (… AND "
    "(first condition) IS NOT TRUE): that gives the same rows.",
    "Semi": "Write it as EXISTS (… first condition) OR EXISTS (… second condition): that keeps the same rows, and one "
    "that is an equality can be hashed.",
    "Anti": "Write it as NOT EXISTS (… first condition) AND NOT EXISTS (… second condition): that keeps the same rows, "
    "and one that is an equality can be hashed.",
}


def or_over_columns(case: Case) -> Iterator[Verdict]:
    """An OR that makes a scan read the whole table, or a join try all pairs."""
    for node in case.plan.nodes():
        table = case.table(node)
        if table is not None and node.reads_all and table.rows >= LEAST_ROWS:
            for term in terms(node, case.table(node), "Filter"):
                if term.is_or and len(term.columns) > 1:
                    yield _of_scan(case, node, table.label, term.columns, kept_share(node, table))
        elif tries_pairs(node) and " OR " in node.conditions.get("Join Filter", ""):
            yield _of_join(case, node)


def _of_scan(case: Case, node: Node, name: str, columns: tuple[str, ...], kept: float) -> Verdict:
    named, share = " and ".join(columns), case.plan.share(node)
    what = f"The filter on {name} has an OR over {named}, and keeps {kept:.1%} of its rows"
    if kept > MOST_KEPT:
        return No(KIND, node.number, f"{what}: so many are read as fast by a scan.")
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{what}, but the scan is only {share:.0%} of the plan.")
    return Finding(
        KIND, node.number, f"{what}.", {"kept": kept, "share": share},
        f"With an index on each of {named} the planner can combine them (BitmapOr).", share * (1 - kept), "likely",
        "make the indexes that are missing, and explain it again",
    )  # fmt: skip


def _of_join(case: Case, node: Node) -> Verdict:
    share = share_of_loops(case, node)
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"The join has an OR in its condition, but is only {share:.0%} of the plan.")
    way = _WAYS.get(node.words.get("Join Type", "Inner"))
    if way is None:
        return No(KIND, node.number, "The join has an OR in its condition, and no two outer joins give the same rows.")
    return Finding(
        KIND, node.number, f"The join (node {node.number}) has an OR in its condition, so that it tries pairs.",
        {"share": share}, way, share, "likely", "write both, compare the rows that they return, and explain both",
    )  # fmt: skip
