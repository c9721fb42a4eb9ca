"""ORDER BY or DISTINCT in a subquery that nobody needs."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tree import Node

KIND = "unneeded_order"
LEAST_SHARE = 0.1


def unneeded_order(case: Case) -> Iterator[Verdict]:
    """A subquery that sorts rows, where what is around it groups or sorts them anew."""
    if case.query is None:
        return
    for select in case.query.find_all(exp.Select):
        if isinstance(select.parent, exp.Subquery | exp.CTE) and select.args.get("order"):
            yield _verdict(case, select)


def _verdict(case: Case, select: exp.Select) -> Verdict:
    if select.args.get("limit") or select.args.get("offset") or _is_distinct_on(select):
        return No(KIND, None, "A subquery has ORDER BY with a LIMIT, which chooses its rows.")
    outer = select.find_ancestor(exp.Select)
    reason = _needs(outer) if outer is not None else "What is around a subquery with ORDER BY is not known."
    if reason:
        return No(KIND, None, reason)
    sort = _sort(case)
    if sort is None:
        return No(KIND, None, "A subquery has ORDER BY, but the plan does not sort for it.")
    share = case.plan.share(sort)
    if share < LEAST_SHARE:
        return No(KIND, sort.number, f"A subquery has ORDER BY, but its sort is only {share:.0%} of the plan.")
    return Finding(
        KIND, sort.number, f"A subquery sorts its rows (node {sort.number}), and the query around it groups them anew.",
        {"share": share},
        "Leave out the ORDER BY in the virtual dataset's SQL: the order of a subquery is not kept. Sums of "
        "floating-point numbers may differ in their last digits then.",
        share, "certain" if sort.actual else "likely", "edit the dataset's SQL, and compare the chart",
    )  # fmt: skip


def _is_distinct_on(select: exp.Select) -> bool:
    distinct = select.args.get("distinct")
    return distinct is not None and distinct.args.get("on") is not None


_ORDERED = (exp.Window, exp.WithinGroup, exp.ArrayAgg, exp.GroupConcat, exp.Anonymous)


def _needs(outer: exp.Select) -> str:
    """Why the query around it may need the order; empty where it groups, and no aggregate depends on the order."""
    if any(part.find(*_ORDERED) is not None for part in outer.expressions):
        return "A subquery has ORDER BY, and what is around it may depend on the order."
    if any(part.find(exp.Distinct) is not None for part in outer.expressions):
        return "A subquery has ORDER BY, and what is around it counts what is distinct, for which it sorts itself."
    if not outer.args.get("group") and not any(part.find(exp.AggFunc) for part in outer.expressions):
        return "A subquery has ORDER BY, and what is around it returns rows, perhaps in that order."
    return ""


_THROUGH = ("Subquery Scan", "Sort", "Incremental Sort", "Gather Merge", "Projection")
_SORTS = ("Sort", "Incremental Sort")


def _sort(case: Case) -> Node | None:
    """The sort whose rows are grouped afterwards without need of their order."""
    for node in case.plan.nodes():
        if node.kind == "Aggregate":
            sorts = [below for below in _chain(node) if below.kind in _SORTS]
            own = 1 if node.words.get("Strategy") == "Sorted" else 0  # its own sort comes before that of the subquery
            if len(sorts) > own:
                return sorts[own]
    return None


def _chain(node: Node) -> Iterator[Node]:
    """What is below a node, as far as it only sorts and hands on."""
    below = node.inputs[0] if len(node.inputs) == 1 else None
    if below is not None and below.kind in _THROUGH:
        yield below
        yield from _chain(below)
