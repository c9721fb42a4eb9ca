"""A virtual dataset whose own query is the cost, and that several charts share."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tree import Node

KIND = "shared_subquery"
LEAST_CHARTS = 3
LEAST_SHARE = 0.5
_ABOVE = (
    "Limit", "Sort", "Incremental Sort", "Gather", "Gather Merge", "Result", "ProjectSet", "Projection", "Top N",
    "Streaming Limit",
)  # fmt: skip


def shared_subquery(case: Case) -> Iterator[Verdict]:
    """A query over a subquery that joins, groups or sorts, which each chart on the dataset has made anew."""
    subquery = _dataset(case.query)
    if case.asked is None or subquery is None:
        return
    node = _top(case, case.query)
    share, charts = case.plan.share_below(node), case.asked.charts
    what = f"The dataset's own query (node {node.number}) is {share:.0%} of the plan, and {charts} charts ask it"
    if not _works(subquery):
        yield No(KIND, node.number, "The dataset's own query only chooses rows and columns, which takes no time.")
    elif share < LEAST_SHARE or charts < LEAST_CHARTS:
        yield No(KIND, node.number, f"{what}: too little for a table of its own.")
    else:
        yield Finding(
            KIND, node.number, f"{what}, for {case.asked.seconds:,.1f} s of the source in a week.",
            {"share": share, "charts": charts, "seconds": case.asked.seconds},
            "Have its rows made once: a materialized view of the dataset's SQL, refreshed after its tables change, "
            "which the dataset reads instead.",
            share, "certain" if node.actual else "likely", "CREATE MATERIALIZED VIEW … AS the dataset's SQL",
        )  # fmt: skip


def _dataset(query: exp.Expression | None) -> exp.Subquery | None:
    """The subquery that a chart's query reads, and nothing beside it."""
    if not isinstance(query, exp.Select) or query.args.get("joins") or not query.args.get("from_"):
        return None
    source = query.args["from_"].this
    return source if isinstance(source, exp.Subquery) else None


def _works(subquery: exp.Subquery) -> bool:
    """Whether it does more than choose rows and columns of one table, perhaps in an order."""
    inner = subquery.this
    if not isinstance(inner, exp.Select):
        return True
    has_parts = any(inner.args.get(name) for name in ("joins", "group", "distinct", "with_", "laterals", "having"))
    return has_parts or inner.find(exp.AggFunc, exp.Window, exp.Subquery) is not None


def _top(case: Case, query: exp.Expression | None) -> Node:
    """The uppermost step of the subquery: below the steps of the select around it."""
    node, outer = case.plan.root, query if isinstance(query, exp.Select) else exp.Select()
    groups = bool(outer.args.get("group") or outer.args.get("distinct"))
    groups = groups or any(part.find(exp.AggFunc) for part in outer.expressions)
    while len(node.inputs) == 1:
        if node.kind == "Aggregate" and groups:
            groups = node.words.get("Partial Mode") == "Finalize"  # its other half is below
        elif node.kind not in _ABOVE:
            break
        node = node.inputs[0]
    return node
