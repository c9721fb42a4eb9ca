"""Whether a LIMIT could choose otherwise among rows that tie, and how a text shows whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import prod

from sqlglot import exp

from superset_ext.aggregates.grain import count
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.regrouped import regrouped
from superset_ext.aggregates.seen import is_cut, moment
from superset_ext.aggregates.shape import Shape
from superset_ext.aggregates.view import View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.clauses import is_constant
from superset_ext.plans.rewrite.copying import columns, copied

SURE = "superset_ext_sure"  # the column of a checked query
_CHOOSES = "its LIMIT chooses among rows that may tie: ORDER BY does not name every key"


def may_choose(shape: Shape, view: View) -> bool:
    """Whether the answer depends on how ties come out, as far as can be proven."""
    if shape.limit is None and shape.offset is None:
        return False
    one_row = not shape.has_groups and not shape.distinct
    return not (one_row or is_total(shape) or cuts_nothing(shape, view))


def is_total(shape: Shape) -> bool:
    """Whether ORDER BY names every key that may have several values, so that no two rows tie."""
    return all(name in shape.meant or _fixed(name, shape) in (0, 1) for name in _names(shape))


def _names(shape: Shape) -> Sequence[exp.Expression]:
    return [output.value for output in shape.outputs] if shape.distinct else shape.keys


def seen_at_cut(shape: Shape, view: View) -> int:
    """Of how many rows on the answer is not sure, if it is asked for with those that tie at its cut.

    Raises:
        AggregateRefused: that cannot be asked for.
    """
    if shape.engine != "postgres" or shape.limit is None or shape.offset:
        raise AggregateRefused(_CHOOSES)
    if not is_exactly_ordered(shape, view):
        raise AggregateRefused(_CHOOSES)
    return shape.limit + 1


def is_exactly_ordered(shape: Shape, view: View) -> bool:
    """Whether what it is ordered by is the same to the last digit."""
    try:
        for term in shape.meant:
            regrouped(term, view, Allowed(loose=True, zone="UTC"))
    except AggregateRefused:
        return False
    return True


def with_ties(shape: Shape, below: int) -> exp.Expression:
    """A LIMIT that lets more rows through where rows tie at its cut; without an order, where there are more."""
    if not shape.order:
        return exp.Limit(expression=exp.Literal.number(below))
    options = exp.LimitOptions(rows=True, with_ties=True)
    return exp.Fetch(direction="FIRST", count=exp.Literal.number(below - 1), limit_options=options)


def checked(query: exp.Select, names: Sequence[exp.Identifier], below: int) -> exp.Select:
    """Columns of a query, with one that is an error where it has too many rows to be sure."""
    many = exp.GT(this=exp.Window(this=exp.Count(this=exp.Star())), expression=exp.Literal.number(below - 1))
    case = exp.Case(ifs=[exp.If(this=many, true=exp.Literal.number(0))], default=exp.Literal.number(1))
    sure = exp.Div(this=exp.Literal.number(1), expression=exp.paren(case, copy=False), typed=True, safe=False)
    wanted: list[exp.Expression] = [exp.Column(this=copied(name)) for name in names]
    select = exp.Select(expressions=[*wanted, exp.Alias(this=sure, alias=exp.to_identifier(SURE))])
    source = exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("first_ones")))
    return select.from_(source, copy=False)


def cuts_nothing(shape: Shape, view: View) -> bool:
    """Whether there are never more groups than the LIMIT lets through."""
    most = most_groups(shape, view)
    return not shape.offset and shape.limit is not None and most is not None and most <= shape.limit


def most_groups(shape: Shape, view: View) -> int | None:
    """How many rows the answer has at most; `None` where that is not known."""
    names = {name.name for value in _names(shape) for name in columns(value)}
    limits = [
        view.rows, _product([_values(name, shape, view) for name in names]),
        _product([_fixed(name, shape) for name in _names(shape)]),
    ]  # fmt: skip
    return min((limit for limit in limits if limit is not None), default=None)


def _product(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return prod(known) if len(known) == len(numbers) else None


def _values(name: str, shape: Shape, view: View) -> int | None:
    """How many values a column has: those of its finest key, or as many as the conditions leave."""
    keys = view.by_column.get(name, ())
    finest = max((view.distinct[view.names[key]] for key in keys if view.names[key] in view.distinct), default=None)
    fixed = min((number for one in shape.conditions if (number := _named(one, name)) is not None), default=None)
    return min((number for number in (finest, fixed) if number is not None), default=None)


def _named(condition: exp.Expression, name: str) -> int | None:
    """How many values of a column a condition leaves; `None` where it does not say."""
    if not isinstance(condition, exp.EQ | exp.In) or not _is_column(condition.this, name):
        return None
    if isinstance(condition, exp.EQ):
        return 1 if is_constant(condition.expression) else None
    plain = not condition.args.get("query") and not condition.args.get("unnest")
    values = condition.expressions
    return len(values) if plain and values and all(map(is_constant, values)) else None


def _is_column(node: object, name: str) -> bool:
    return isinstance(node, exp.Column) and node.name == name


def _fixed(key: exp.Expression, shape: Shape) -> int | None:
    """How many values the conditions leave to a key; `None` where they do not say."""
    is_grain = isinstance(key, exp.TimestampTrunc | exp.DateTrunc) and key.args.get("zone") is None
    if is_grain and is_cut(key.this, shape.columns, shape.engine):
        ends = _ends(key.this.name, shape.conditions)
        if ends is not None:
            return count(key.text("unit").lower(), *ends)
    numbers = [
        min((number for one in shape.conditions if (number := _named(one, name)) is not None), default=None)
        for name in {column.name for column in columns(key)}
    ]
    return _product(numbers)


def _ends(name: str, conditions: Sequence[exp.Expression]) -> tuple[datetime, datetime] | None:
    """Two moments between which a time lies."""
    lowest = [at for one in conditions if (at := _end(one, name, exp.GTE)) is not None]
    highest = [at for one in conditions if (at := _end(one, name, exp.LT)) is not None]
    return (max(lowest), min(highest) - timedelta(microseconds=1)) if lowest and highest else None


def _end(condition: exp.Expression, name: str, kind: type[exp.Expression]) -> datetime | None:
    is_end = isinstance(condition, kind) and _is_column(condition.this, name)
    at = moment(condition.expression) if is_end else None
    if at is None or not isinstance(condition.expression, exp.StrToTime | exp.StrToDate):
        return at
    return at + (timedelta(days=1) if kind is exp.LT else timedelta(days=-1))  # in whichever zone it is meant
