"""Forms of a statement that no aggregate answers, each with its reason, in the order in which they are named."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import clause, joins
from superset_ext.plans.rewrite.copying import nodes

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
Kind = type[exp.Expression]


@dataclass(frozen=True)
class _Walk:
    """The nodes of a tree, but for those of what it reads, and for its constants; and of which kinds they are."""

    tree: exp.Expression
    nodes: list[exp.Expression]
    kinds: frozenset[Kind]


_walked: ContextVar[_Walk | None] = ContextVar("walked", default=None)


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
    if not _has(tree, exp.Query, exp.Exists):
        return ""
    inner = any(isinstance(node, exp.Query | exp.Exists) and node is not tree for node in _walk(tree).nodes)
    return "it has a subquery" if inner else ""


def ordered_aggregates(tree: exp.Expression) -> str:
    """Medians, percentiles, lists, STDDEV: what cannot be added up from groups."""
    if _has(tree, exp.WithinGroup):
        return "it has a median or another aggregate that needs all values in order"
    walk = _walk(tree)
    others = [kind.key for kind in walk.kinds if issubclass(kind, exp.AggFunc) and not issubclass(kind, _AGGREGATES)]
    if others:
        return f"{min(others).upper()} cannot be added up from groups"
    ordered = any(isinstance(node, exp.Order) and isinstance(node.parent, exp.AggFunc) for node in walk.nodes)
    return "it has an aggregate over ordered rows" if ordered else ""


def filtered_aggregates(tree: exp.Expression) -> str:
    """FILTER."""
    return "it has an aggregate with FILTER" if _has(tree, exp.Filter) else ""


def unknown_functions(tree: exp.Expression) -> str:
    """Volatile functions, such of the session, and all that are not known here."""
    unknown = any(issubclass(kind, exp.Func) and not _is_known(kind) for kind in _walk(tree).kinds)
    return "it calls a function that may give another value each time, or is not known to be exact" if unknown else ""


def odd_syntax(tree: exp.Expression) -> str:
    """Whatever else is not known here: a list of what is allowed, not of what is forbidden."""
    walk = _walk(tree)
    unknown = [kind.key.upper() for kind in walk.kinds if not _is_known(kind)]
    if unknown:
        return f"it has {min(unknown)}, which is not known to be exact"
    if any(isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count) for node in walk.nodes):
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
    token = _walked.set(_walk(tree))
    try:
        return next((reason for rule in REFUSALS if (reason := rule(tree))), "")
    finally:
        _walked.reset(token)


def _walk(tree: exp.Expression) -> _Walk:
    """While all rules look at one tree, it is walked once."""
    walked = _walked.get()
    if walked is not None and walked.tree is tree:
        return walked
    start = clause(tree, "from")
    own = list(nodes(tree, start))
    return _Walk(tree, own, frozenset(type(node) for node in own if node is not tree))


def _has(tree: exp.Expression, *kinds: Kind) -> bool:
    return any(issubclass(kind, kinds) for kind in _walk(tree).kinds)


@lru_cache(1_000)
def _is_known(kind: Kind) -> bool:
    return issubclass(kind, BY_ROW + _AGGREGATES + _PLAIN + _CLAUSES)
