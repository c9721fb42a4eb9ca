"""Whether an aggregate answers a statement, and with which text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlglot import exp

from superset_ext.aggregates.finite import refuse_infinite
from superset_ext.aggregates.over import EXACT, SOURCE, Allowed, over, refuse_inside
from superset_ext.aggregates.regrouped import regrouped
from superset_ext.aggregates.series import NAME
from superset_ext.aggregates.shape import Series, Shape
from superset_ext.aggregates.ties import (
    SURE,
    checked,
    cuts_nothing,
    is_exactly_ordered,
    may_choose,
    seen_at_cut,
    with_ties,
)
from superset_ext.aggregates.view import View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.copying import copied, has_aggregate
from superset_ext.plans.rewrite.moments import with_constants


@dataclass(frozen=True)
class Match:
    """A statement as an aggregate answers it.

    Attributes:
        below: the rows are only sure where fewer than this come back, since rows tied where a LIMIT cuts; `None`:
            always.
    """

    view: View
    sql: str
    below: int | None = None


@dataclass(frozen=True)
class Refusal:
    """Why an aggregate does not answer a statement, in words.

    Attributes:
        relation: what the statement reads, where there are aggregates of it.
    """

    reason: str
    relation: str = ""


def match(shape: Shape, view: View, allowed: Allowed = EXACT) -> Match | Refusal:
    """The text that gives the same rows from the aggregate, or why there is none."""
    if (shape.engine, shape.relation) != (view.engine, view.relation):
        return Refusal("it reads another relation")
    try:
        below = None if allowed.ties or not may_choose(shape, view) else seen_at_cut(shape, view)
        tree = _rewritten(shape, view, allowed, below)
        with_constants(tree, shape.engine)
        return Match(view, tree.sql(dialect=shape.engine, copy=False), below)
    except AggregateRefused as refused:
        return Refusal(str(refused))


def _rewritten(shape: Shape, view: View, allowed: Allowed, below: int | None) -> exp.Select:
    _refuse_looks(shape, view, allowed)
    refuse_infinite(shape, view)
    select = exp.Select(expressions=[_output(shape, place, view, allowed) for place in range(len(shape.outputs))])
    select.set("from_" if "from_" in exp.Select.arg_types else "from", exp.From(this=_source(view)))
    if shape.series is not None:
        select.set("joins", [_join(shape.series, view, allowed)])
    if shape.conditions:
        select = select.where(*(over(condition, view, allowed) for condition in shape.conditions), copy=False)
    if shape.keys:
        select = select.group_by(*(over(key, view, allowed) for key in shape.keys), copy=False)
    if shape.having is not None:
        select = select.having(regrouped(shape.having, view, allowed), copy=False)
    return _cut(select, shape, view, allowed, below)


def _join(series: Series, view: View, allowed: Allowed) -> exp.Join:
    """The join with the groups that a series limit leaves. Where rows tie at its cut, the source ends with an error."""
    below = _series_cut(series.inner, view, allowed)
    query = _rewritten(series.inner, view, allowed, below)
    conditions = [exp.EQ(this=over(value, view, allowed), expression=_left(output.name)) for value, output in series.on]
    if below is not None:
        query = checked(query, [output.name for _, output in series.on], below)
        conditions.append(exp.EQ(this=_left(exp.to_identifier(SURE)), expression=exp.Literal.number(1)))
    source = exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(NAME)))
    return exp.Join(this=source, on=exp.and_(*conditions, copy=False))


def _left(name: exp.Identifier) -> exp.Column:
    """A column of the groups that are left."""
    return exp.Column(this=copied(name), table=exp.to_identifier(NAME))


def _series_cut(inner: Shape, view: View, allowed: Allowed) -> int | None:
    """Of how many groups on it is not sure which come first; `None` where it is."""
    if cuts_nothing(inner, view):
        return None
    if is_exactly_ordered(inner, view):
        return seen_at_cut(inner, view) if may_choose(inner, view) else None
    if allowed.floats and allowed.ties:
        return None
    raise AggregateRefused("its series limit chooses by sums of floating point numbers, whose last digits may differ")


def _source(view: View) -> exp.Expression:
    """The aggregate's table, as its columns are called by."""
    table = copied(_table(view.table, view.engine))
    table.set("alias", exp.TableAlias(this=exp.to_identifier(SOURCE)))
    return table


@lru_cache(2_000)
def _table(name: str, engine: str) -> exp.Table:
    return exp.to_table(name, dialect=engine)


def _output(shape: Shape, place: int, view: View, allowed: Allowed) -> exp.Expression:
    output = shape.outputs[place]
    return exp.Alias(this=regrouped(output.value, view, allowed), alias=copied(output.name))


def _cut(select: exp.Select, shape: Shape, view: View, allowed: Allowed, below: int | None) -> exp.Select:
    """With its order and its limit; with the rows that tie where it cuts, if it is to be seen whether there are any."""
    if shape.order:
        terms = [copied(term) for term in shape.order]
        for term, meant in zip(terms, shape.meant, strict=True):
            if term.args.get("this") is None:
                term.set("this", regrouped(meant, view, allowed))
        select.set("order", exp.Order(expressions=terms))
    if below is not None:
        select.set("limit", with_ties(shape, below))
    elif shape.limit is not None:
        select.set("limit", exp.Limit(expression=exp.Literal.number(shape.limit)))
    if shape.offset is not None:
        select.set("offset", exp.Offset(expression=exp.Literal.number(shape.offset)))
    return select.distinct(copy=False) if shape.distinct else select


def _refuse_looks(shape: Shape, view: View, allowed: Allowed) -> None:
    """Refuse what tells equal values of a key apart; aggregates look for themselves."""
    for part in shape.parts():
        shown = not allowed.loose and any(part is output.value for output in shape.outputs)
        for value in outside_aggregates(part):
            refuse_inside(value, view.columns, shown and value is part, allowed.loose)


def outside_aggregates(node: exp.Expression) -> list[exp.Expression]:
    """The largest parts of an expression that have no aggregate in them."""
    if isinstance(node, exp.AggFunc):
        return []
    if not has_aggregate(node):
        return [node]
    return [part for child in node.iter_expressions() for part in outside_aggregates(child)]
