"""COUNT(DISTINCT …) that is most of the work."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

from sqlglot import exp

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tree import Node

KIND = "count_distinct"
LEAST_SHARE = 0.3
LEAST_ROWS = 10_000
_SORTS_SHOWN = 160_000  # the version from which the sort is a step of the plan
_OPERATOR_COST = 0.0025  # the default of cpu_operator_cost


def count_distinct(case: Case) -> Iterator[Verdict]:
    """An aggregate with COUNT(DISTINCT …), together with the sort that it needs."""
    distinct = next(case.query.find_all(exp.Distinct), None) if case.query is not None else None
    counts = distinct is not None and any(isinstance(d.parent, exp.Count) for d in _distincts(case.query))
    if not counts:
        return
    for node in case.plan.nodes():
        # It sorts all rows for itself, or gets them sorted: it is never hashed, nor done in parallel.
        if node.kind == "Aggregate" and node.words.get("Strategy") in ("Plain", "Sorted") and _rows(node) >= LEAST_ROWS:
            yield _verdict(case, node)
            return


def _distincts(query: exp.Expression | None) -> list[exp.Distinct]:
    return list(query.find_all(exp.Distinct)) if query is not None else []


def _rows(node: Node) -> float:
    child = node.inputs[0] if node.inputs else node
    return child.actual.all_rows if child.actual is not None else child.rows


def _unseen_share(case: Case, node: Node) -> float:
    """What the share of an aggregate grows by for the sort within it, of which plans before PostgreSQL 16 say nothing.

    By `cost_tuplesort` of PostgreSQL's planner: two comparisons for each row and each doubling of their number.
    """
    if case.plan.version >= _SORTS_SHOWN or node.actual is not None:
        return 0.0
    rows = max(_rows(node), 2.0)
    sort = 2 * _OPERATOR_COST * rows * log2(rows)
    return (1 - case.plan.share(node)) * sort / (case.plan.root.cost + sort)


def _verdict(case: Case, node: Node) -> Verdict:
    sort = next((child for child in node.inputs if child.kind in ("Sort", "Incremental Sort")), None)
    share = case.plan.share(node) + (case.plan.share(sort) if sort is not None else _unseen_share(case, node))
    what = f"COUNT(DISTINCT …) over {_rows(node):,.0f} rows (node {node.number}) is {share:.0%} of the plan"
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{what}.")
    return Finding(
        KIND, node.number, f"{what}: it sorts all rows, and no worker helps.", {"share": share, "rows": _rows(node)},
        "Count over a GROUP BY in a subquery instead, which hashes: SELECT count(x) FROM (SELECT x … GROUP BY x). "
        "Where about right is enough, a sketch (hll) or a count kept beside the table is faster still.",
        share / 2, "possible", "write both, compare the numbers that they return, and explain both",
    )  # fmt: skip
