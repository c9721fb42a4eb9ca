"""Forms of a statement that no aggregate answers, each with its reason, in the order in which they are named."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import clause, joins

_GROUPINGS = ("grouping_sets", "cube", "rollup", "totals", "all")
_AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max)

# What gives the same for the same arguments, at least within one statement.
BY_ROW: Final = (
    exp.Case, exp.If, exp.Cast, exp.Coalesce, exp.Nullif, exp.Lower, exp.Upper, exp.Trim, exp.Length, exp.Abs,
    exp.Round, exp.Floor, exp.Ceil, exp.TimestampTrunc, exp.DateTrunc, exp.Extract, exp.Year, exp.Month, exp.Day,
    exp.Quarter, exp.Week,
    exp.Concat, exp.Substring, exp.Left, exp.Right, exp.Greatest, exp.Least, exp.StrToTime, exp.StrToDate,
    exp.RegexpLike, exp.RegexpILike, exp.And, exp.Or, exp.StrPosition,
)  # fmt: skip
# What else may stand in an expression.
_PLAIN = (
    exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Not, exp.Neg, exp.Add, exp.Sub,
    exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.In,
    exp.Between, exp.Like, exp.ILike, exp.Escape, exp.SimilarTo, exp.DPipe, exp.DataType, exp.DataTypeParam, exp.Var,
    exp.Interval, exp.Distinct, exp.Star, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Alias, exp.IntervalSpan,
)  # fmt: skip
_CLAUSES = (
    exp.From, exp.Table, exp.TableAlias, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit,
    exp.Offset,
)  # fmt: skip

Refusal = Callable[[exp.Expression], str]
_walked: ContextVar[tuple[exp.Expression, list[exp.Expression]] | None] = ContextVar("walked", default=None)


def not_one_select(tree: exp.Expression) -> str:
    """UNION and the like, and all that is no query."""
    return "" if isinstance(tree, exp.Select) else "it is not one SELECT"


def common_tables(tree: exp.Expression) -> str:
    """WITH."""
    return "it begins with WITH" if clause(tree, "with") is not None else ""


def several_sources(tree: exp.Expression) -> str:
    """Joins, and what else makes rows of several."""
    others = any(tree.args.get(name) for name in ("laterals", "pivots", "match", "connect"))
    return "it joins what it reads" if joins_of(tree) or others else ""


def joins_of(tree: exp.Expression) -> list[exp.Join]:
    """The joins of a statement."""
    return joins(tree) if isinstance(tree, exp.Select) else []


def sampled(tree: exp.Expression) -> str:
    """TABLESAMPLE, ONLY, and joins within parentheses."""
    start = clause(tree, "from")
    source = start.this if start is not None else None
    names = ("sample", "pivots", "joins", "laterals", "only", "version", "changes", "when", "ordinality")
    odd = isinstance(source, exp.Expression) and any(source.args.get(name) for name in names)
    return "it reads a sample, or a part of what it names" if odd or tree.args.get("sample") else ""


def windows(tree: exp.Expression) -> str:
    """Window functions."""
    return "it has a window function" if _has(tree, exp.Window, exp.Qualify) or tree.args.get("windows") else ""


def first_of_each(tree: exp.Expression) -> str:
    """DISTINCT ON."""
    distinct = clause(tree, "distinct")
    return "it has DISTINCT ON" if distinct is not None and distinct.args.get("on") else ""


def grouping_sets(tree: exp.Expression) -> str:
    """ROLLUP, CUBE, GROUPING SETS and GROUP BY ALL."""
    group = clause(tree, "group")
    return "it has grouping sets" if group is not None and any(group.args.get(name) for name in _GROUPINGS) else ""


def inner_queries(tree: exp.Expression) -> str:
    """EXISTS, IN over a query, scalar subqueries: all but the relation itself."""
    start = clause(tree, "from")
    inner = any(
        isinstance(node, exp.Query) and node is not tree for node in tree.walk(prune=lambda node: node is start)
    )
    return "it has a subquery" if inner or _has(tree, exp.Exists) else ""


def ordered_aggregates(tree: exp.Expression) -> str:
    """Medians, percentiles, lists, STDDEV: what cannot be added up from groups."""
    if _has(tree, exp.WithinGroup):
        return "it has a median or another aggregate that needs all values in order"
    for node in _own(tree):
        if isinstance(node, exp.AggFunc) and not isinstance(node, _AGGREGATES):
            return f"{node.key.upper()} cannot be added up from groups"
        if isinstance(node, exp.Order) and isinstance(node.parent, exp.AggFunc):
            return "it has an aggregate over ordered rows"
    return ""


def filtered_aggregates(tree: exp.Expression) -> str:
    """FILTER."""
    return "it has an aggregate with FILTER" if _has(tree, exp.Filter) else ""


def unknown_functions(tree: exp.Expression) -> str:
    """Volatile functions, such of the session, and all that are not known here."""
    for node in _own(tree):
        if isinstance(node, exp.Func) and not isinstance(node, BY_ROW + _AGGREGATES):
            return "it calls a function that may give another value each time, or is not known to be exact"
    return ""


def odd_syntax(tree: exp.Expression) -> str:
    """Whatever else is not known here: a list of what is allowed, not of what is forbidden."""
    for node in _own(tree):
        if not isinstance(node, BY_ROW + _AGGREGATES + _PLAIN + _CLAUSES) and node is not tree:
            return f"it has {node.key.upper()}, which is not known to be exact"
        if isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
            return "it asks for all columns"
    left = {name for name, value in tree.args.items() if value} - _KNOWN
    return f"it has {min(left).upper().strip('_')}" if left else ""


_KNOWN = {
    "expressions", "from", "from_", "where", "group", "having", "order", "limit", "offset", "distinct", "kind", "hint",
}  # fmt: skip

REFUSALS: tuple[Refusal, ...] = (
    not_one_select, common_tables, several_sources, sampled, windows, first_of_each, grouping_sets, inner_queries,
    ordered_aggregates, filtered_aggregates, unknown_functions, odd_syntax,
)  # fmt: skip


def refusal(tree: exp.Expression) -> str:
    """Why no aggregate answers a statement of this form; empty, if one could."""
    token = _walked.set((tree, _own(tree)))
    try:
        return next((reason for rule in REFUSALS if (reason := rule(tree))), "")
    finally:
        _walked.reset(token)


def _own(tree: exp.Expression) -> list[exp.Expression]:
    """All nodes but those of what it reads; while all rules look at one tree, it is walked once."""
    walked = _walked.get()
    if walked is not None and walked[0] is tree:
        return walked[1]
    start = clause(tree, "from")
    return [node for node in tree.walk(prune=lambda node: node is start) if node is not start]


def _has(tree: exp.Expression, *kinds: type[exp.Expression]) -> bool:
    return any(isinstance(node, kinds) for node in _own(tree))
