"""Each aggregate of a statement, made of the measures of an aggregate table. A function each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from superset_ext.aggregates.over import Allowed, kept, over, refuse_inside
from superset_ext.aggregates.view import ROWS, View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.clauses import bare
from superset_ext.plans.rewrite.copying import has_aggregate, replaced, typed
from superset_ext.plans.rewrite.facts import Kind

_EXACT = {"bigint": "BIGINT", "numeric": "", "hugeint": "", "decimal": ""}  # with what a sum of sums is cast to
_FLOATS = {"double precision", "double"}
_ORDERED = {Kind.INTEGER, Kind.DECIMAL}
_INT4 = 2**31


def count(node: exp.Expression, view: View, allowed: Allowed) -> exp.Expression:
    """COUNT(*), COUNT(x), COUNT(DISTINCT key): never NULL, and 0 where there are no rows."""
    inner = argument(node)
    if isinstance(inner, exp.Distinct):
        return _distinct(node, inner, view, allowed)
    return _total(_counted(inner, view, allowed))


def _total(counted: exp.Expression) -> exp.Expression:
    return exp.Coalesce(this=_cast(exp.Sum(this=counted), "BIGINT"), expressions=[exp.Literal.number(0)])


def _counted(inner: exp.Expression, view: View, allowed: Allowed) -> exp.Expression:
    """How many rows of a group have a value there."""
    rows = kept(view, ROWS)
    if isinstance(inner, exp.Star | exp.Literal | exp.Boolean):
        return rows
    if isinstance(inner, exp.Null):
        return exp.Literal.number(0)
    if (measure := view.by_measure.get(("count", inner))) is not None:
        return kept(view, view.names[measure])
    if (ends := branches(inner)) is not None:
        return _case(inner, [_counted(end, view, allowed) for end in ends], view, allowed)
    refuse_inside(inner, view.columns, shown=False)
    value = over(inner, view, allowed)
    is_null = exp.Is(this=exp.paren(value), expression=exp.Null())
    return exp.Case(ifs=[exp.If(this=is_null, true=exp.Literal.number(0))], default=rows)


def total(node: exp.Expression, view: View, allowed: Allowed) -> exp.Expression:
    """SUM: NULL where no row has a value, of the type that the source gives it."""
    inner = argument(node)
    if isinstance(inner, exp.Distinct):
        return _distinct(node, inner, view, allowed)
    value, type_ = _summed(inner, view, allowed)
    return _sum(value, type_, allowed)


def _sum(value: exp.Expression, type_: str, allowed: Allowed) -> exp.Expression:
    if type_ in _EXACT:
        return _cast(exp.Sum(this=value), _EXACT[type_])
    if type_ not in _FLOATS:
        raise AggregateRefused(f"sums of type {type_ or 'unknown'} are not added up")
    if not allowed.floats:
        raise AggregateRefused("a sum of floating point numbers may differ in its last digits")
    return exp.Sum(this=value)


def _summed(inner: exp.Expression, view: View, allowed: Allowed) -> tuple[exp.Expression, str]:
    """What the rows of a group add up to, and the type of a sum over all of them."""
    if (measure := view.by_measure.get(("sum", inner))) is not None:
        return kept(view, view.names[measure]), base_type(measure.type)
    if (factor := _integer(inner)) is not None:
        return _times(factor, kept(view, ROWS)), "bigint" if view.engine == "postgres" else "hugeint"
    if (ends := branches(inner)) is None:
        raise AggregateRefused("it adds up what is no measure")
    values = [_ended(end, view, allowed) for end in ends]
    types = {type_ for end, (_, type_) in zip(ends, values, strict=True) if type_ and _integer(end) is None}
    numbers = {type_ for _, type_ in values if type_}
    if not numbers or len(types) > 1:
        raise AggregateRefused("it adds up values of several types")
    return _case(inner, [value for value, _ in values], view, allowed), next(iter(types or numbers))


def _ended(end: exp.Expression, view: View, allowed: Allowed) -> tuple[exp.Expression, str]:
    return (end.copy(), "") if isinstance(end, exp.Null) else _summed(end, view, allowed)


def average(node: exp.Expression, view: View, allowed: Allowed) -> exp.Expression:
    """AVG: the sum through how many there are."""
    inner = argument(node)
    if isinstance(inner, exp.Distinct):
        return _distinct(node, inner, view, allowed)
    value, type_ = _summed(inner, view, allowed)
    counted = exp.Nullif(this=exp.Sum(this=_counted(inner, view, allowed)), expression=exp.Literal.number(0))
    if view.engine == "duckdb" and not allowed.floats:
        raise AggregateRefused("an average is a floating point number, whose last digits may differ")
    sums = _sum(value, "numeric" if type_ == "bigint" else type_, allowed)
    if view.engine == "duckdb":
        return exp.paren(exp.Div(this=_cast(sums, "DOUBLE"), expression=counted, typed=False, safe=True))
    return exp.paren(exp.Div(this=sums, expression=counted, typed=True, safe=False))


def extreme(node: exp.Expression, view: View, allowed: Allowed) -> exp.Expression:
    """MIN and MAX."""
    inner = argument(node)
    inner = inner.expressions[0] if isinstance(inner, exp.Distinct) and len(inner.expressions) == 1 else inner
    refuse_inside(inner, view.columns, shown=not allowed.loose)
    if (measure := view.by_measure.get((node.key, inner))) is not None:
        return type(node)(this=kept(view, view.names[measure]))
    return type(node)(this=over(inner, view, allowed))


def _distinct(node: exp.Expression, inner: exp.Distinct, view: View, allowed: Allowed) -> exp.Expression:
    """An aggregate of different values of a key: each group has one."""
    if len(inner.expressions) != 1:
        raise AggregateRefused("it counts different pairs")
    value = bare(inner.expressions[0])
    refuse_inside(value, view.columns, shown=True)  # DuckDB counts `a` and `A` twice, whatever the collation
    if not isinstance(node, exp.Count):
        known = view.columns.get(value.name) if isinstance(value, exp.Column) else None
        if known is None or known.kind not in _ORDERED or (isinstance(node, exp.Avg) and view.engine == "duckdb"):
            raise AggregateRefused("it adds up different values that are not exact numbers")
    try:
        return type(node)(this=exp.Distinct(expressions=[over(value, view, allowed)]))
    except AggregateRefused as refused:
        raise AggregateRefused(f"it needs all different values, and {refused}") from None


Maker = Callable[[exp.Expression, View, Allowed], exp.Expression]
AGGREGATES: Final[Mapping[type[exp.Expression], Maker]] = {
    exp.Count: count, exp.Sum: total, exp.Avg: average, exp.Min: extreme, exp.Max: extreme,
}  # fmt: skip


def regrouped(node: exp.Expression, view: View, allowed: Allowed) -> exp.Expression:
    """An expression with aggregates, over the rows of an aggregate table.

    Raises:
        AggregateRefused: they cannot be made of its measures and keys.
    """

    def instead(part: exp.Expression) -> exp.Expression | None:
        if (maker := AGGREGATES.get(type(part))) is not None:
            return maker(part, view, allowed)
        return None if has_aggregate(part) else over(part, view, allowed)

    return replaced(node, instead)


def argument(node: exp.Expression) -> exp.Expression:
    """What an aggregate is of, without parentheses around it.

    Raises:
        AggregateRefused: it is of several things, or has more to say.
    """
    more = {name for name, value in node.args.items() if value and name not in ("this", "big_int")}
    if more or not isinstance(node.this, exp.Expression):
        raise AggregateRefused("it has an aggregate of several arguments")
    return bare(node.this)


def branches(node: exp.Expression) -> list[exp.Expression] | None:
    """The values that a CASE chooses from, NULL where it says nothing; `None` for anything else."""
    if not isinstance(node, exp.Case) or node.args.get("this") is not None:
        return None
    ends = [bare(one.args["true"]) for one in node.args["ifs"]]
    default = node.args.get("default")
    return [*ends, bare(default) if default is not None else exp.Null()]


def _case(node: exp.Expression, ends: list[exp.Expression], view: View, allowed: Allowed) -> exp.Expression:
    """A CASE with other values, whose conditions are over the keys."""
    for one in node.args["ifs"]:
        refuse_inside(one.this, view.columns, shown=False)
    conditions = [over(one.this, view, allowed) for one in node.args["ifs"]]
    ifs = [exp.If(this=condition, true=end) for condition, end in zip(conditions, ends, strict=False)]
    return exp.Case(ifs=ifs, default=ends[-1])


def _integer(node: exp.Expression) -> int | None:
    sign, literal = (-1, node.this) if isinstance(node, exp.Neg) else (1, node)
    if not isinstance(literal, exp.Literal) or not literal.is_int or int(literal.name) >= _INT4:
        return None
    return sign * int(literal.name)


def _times(factor: int, rows: exp.Expression) -> exp.Expression:
    if factor == 1:
        return rows
    number = exp.Literal.number(abs(factor))
    return exp.Mul(this=exp.Neg(this=number) if factor < 0 else number, expression=rows) if factor else number


def base_type(name: str) -> str:
    """A type without its precision."""
    return name.lower().partition("(")[0]


def _cast(node: exp.Expression, type_: str) -> exp.Expression:
    return typed(node, type_) if type_ else node
