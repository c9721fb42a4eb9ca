"""Whether the answer of a statement is settled by the statement: whatever plan it runs by, the same rows come back.

A rewritten statement runs by another plan, so its rows are read in another order. Where the answer depends on that
(the first rows of a LIMIT, the row number among ties, the last digit of a sum of floating point numbers), two texts
that mean the same give different answers. This says what is allowed, and does not list what is forbidden: only
functions that are known here, and only types of which equal values are the same value where rows are grouped, since a
group shows the first value that it meets. Where a LIMIT outside may choose among rows that tie, the answer is only sure
if the LIMIT cut nothing.

What a statement leaves open, and is no matter here: the order of rows that its outermost ORDER BY does not tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import clause, is_aggregated, is_cut, own, unaliased
from superset_ext.plans.rewrite.facts import Column, Facts, Kind
from superset_ext.plans.rewrite.kinds import kind_of, knows_sources

_AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr)
_BY_ROW = (
    exp.And, exp.Or, exp.Case, exp.If, exp.Cast, exp.Coalesce, exp.Nullif, exp.Lower, exp.Upper, exp.Trim, exp.Length,
    exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.TimestampTrunc, exp.DateTrunc, exp.Extract, exp.Year, exp.Month,
    exp.Day, exp.Quarter, exp.Concat, exp.Substring, exp.Left, exp.Right, exp.Greatest, exp.Least, exp.Exists,
    exp.CurrentDate, exp.CurrentTimestamp, exp.StrToTime, exp.StrToDate, exp.RegexpLike, exp.RegexpILike,
)  # fmt: skip
_GROUPINGS = ("grouping_sets", "cube", "rollup", "totals", "all")


@dataclass(frozen=True)
class Open:
    """Why the order matters; or, where `reason` is empty, below how many rows the answer is sure (`None`: always)."""

    reason: str = ""
    below: int | None = None


def settled(root: exp.Query, facts: Facts) -> Open:
    """Whether a statement's rows are the same by any plan; their order aside, where ORDER BY leaves it open."""
    if not isinstance(root, exp.Select):
        return Open("the outermost query is not one select")
    for reason in _reasons(root, facts):
        return Open(reason)
    return Open(below=_below(root, facts)) if is_cut(root) else Open()


def _reasons(root: exp.Select, facts: Facts) -> Iterator[str]:
    for node in root.walk():
        if reason := _reason(node, root, facts):
            yield reason
        if isinstance(node, exp.Select):
            yield from _of_groups(node, facts)
    limit, distinct = clause(root, "limit"), clause(root, "distinct")
    whole = isinstance(limit, exp.Limit) and limit.expression is not None and limit.expression.is_int
    cut_otherwise = any(clause(root, name) for name in ("offset", "limit_by", "sample"))
    cut_otherwise = cut_otherwise or bool(distinct is not None and distinct.args.get("on"))
    if (cut_otherwise and not _is_total(root, facts)) or (limit is not None and not whole):
        yield "an OFFSET, FETCH or DISTINCT ON outside chooses among rows that tie"


def _below(root: exp.Select, facts: Facts) -> int | None:
    """How many rows the LIMIT gives at most, if it may choose among rows that tie."""
    limit = clause(root, "limit")
    one_row = clause(root, "group") is None and clause(root, "distinct") is None and is_aggregated(root)
    if one_row or limit is None or _is_total(root, facts):
        return None
    return int(limit.args["expression"].name)


def _reason(node: exp.Expression, root: exp.Select, facts: Facts) -> str:
    """Why the order of rows may matter to a node, as far as the node itself tells."""
    if isinstance(node, exp.Window | exp.Qualify | exp.WithinGroup):
        return "a window function or an ordered aggregate may depend on the order of rows"
    if isinstance(node, exp.Func) and not isinstance(node, _AGGREGATES + _BY_ROW):
        return f"{_name(node, facts)} may depend on the order of rows, or be another value each time"
    if isinstance(node, exp.Query) and node is not root and is_cut(node):
        return "a LIMIT, OFFSET or DISTINCT ON in a subquery takes the first rows, whichever they are"
    if isinstance(node, exp.Join) and (node.args.get("method") or "NATURAL") != "NATURAL":
        return "a join by position or to the nearest depends on the order of rows"
    if isinstance(node, exp.With) and node.args.get("recursive"):
        return "WITH RECURSIVE"
    if isinstance(node, exp.DML | exp.Into | exp.Lock | exp.Command):
        return "it writes or locks"
    if isinstance(node, exp.TableSample):
        return "a sample is another one in another order"
    if isinstance(node, exp.Order) and isinstance(node.parent, exp.AggFunc):
        return "an ordered aggregate may depend on the order of rows"
    return ""


def _name(function: exp.Func, facts: Facts) -> str:
    """A function as the source knows it, without what it is called with."""
    return function.sql(dialect=facts.engine).partition("(")[0].lower()


def _of_groups(select: exp.Select, facts: Facts) -> Iterator[str]:
    """Why what a select groups and adds up may depend on the order of its rows."""
    for aggregate in own(select, exp.Sum, exp.Avg):
        column = kind_of(_argument(aggregate), facts)
        if column is None or column.kind not in (Kind.INTEGER, Kind.DECIMAL, Kind.NUMERIC):
            yield "a sum of floating point numbers, or of an unknown type, depends on the order of rows"
    for aggregate in own(select, exp.Min, exp.Max):
        if not _is_identical(kind_of(aggregate.this, facts)) or aggregate.args.get("expressions"):
            yield "min or max of values that can be equal and look different, or are of an unknown type"
    group, distinct = clause(select, "group"), clause(select, "distinct")
    if group is not None and any(group.args.get(name) for name in _GROUPINGS):
        yield "grouping sets"
    keys = [_key(key, select, facts) for key in group.expressions] if group is not None else []
    keys += [kind_of(unaliased(output), facts) for output in select.expressions] if distinct is not None else []
    if not all(_is_identical(key) for key in keys):
        yield "it is grouped by values that can be equal and look different, or are of an unknown type"


def _argument(aggregate: exp.Expression) -> exp.Expression:
    inner = aggregate.this
    if isinstance(inner, exp.Distinct) and len(inner.expressions) == 1:
        inner = inner.expressions[0]
    return inner if isinstance(inner, exp.Expression) else exp.Null()


def _is_identical(column: Column | None) -> bool:
    return column is not None and column.identical and column.kind not in (Kind.OTHER, Kind.FLOAT, Kind.NUMERIC)


def meant(term: exp.Expression, select: exp.Select, facts: Facts) -> exp.Expression:
    """The expression that a term of GROUP BY means: a number is a place, a name may be an alias."""
    if isinstance(term, exp.Literal) and term.is_int and 0 < int(term.name) <= len(select.expressions):
        return unaliased(select.expressions[int(term.name) - 1])
    is_name = isinstance(term, exp.Column) and not term.table and knows_sources(select, facts)
    if is_name and kind_of(term, facts) is None:
        aliases = [one for one in select.expressions if isinstance(one, exp.Alias) and one.alias == term.name]
        return unaliased(aliases[0]) if len(aliases) == 1 else term
    return term


def _key(term: exp.Expression, select: exp.Select, facts: Facts) -> Column | None:
    return kind_of(meant(term, select, facts), facts)


def _is_total(root: exp.Select, facts: Facts) -> bool:
    """Whether ORDER BY names every key, so that no two rows tie."""
    order, group, distinct = clause(root, "order"), clause(root, "group"), clause(root, "distinct")
    if order is None or (distinct is not None and (group is not None or distinct.args.get("on"))):
        return False
    terms = [_ordered(term.this, root) for term in order.expressions]
    keys = (
        [meant(key, root, facts) for key in group.expressions]
        if group is not None
        else [unaliased(output) for output in root.expressions]
    )
    return all(key in terms for key in keys)


def _ordered(term: exp.Expression, root: exp.Select) -> exp.Expression:
    """What a term of ORDER BY means: a number is a place, and a bare name is an alias before it is a column."""
    if isinstance(term, exp.Literal) and term.is_int and 0 < int(term.name) <= len(root.expressions):
        return unaliased(root.expressions[int(term.name) - 1])
    if isinstance(term, exp.Column) and not term.table:
        for output in root.expressions:
            if isinstance(output, exp.Alias) and output.alias == term.name:
                return unaliased(output)
    return term
