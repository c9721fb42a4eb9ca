"""Whether an aggregate answers a statement, and with which text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlglot import exp

from superset_ext.aggregates.finite import refuse_infinite
from superset_ext.aggregates.over import EXACT, SOURCE, Allowed, over, refuse_inside
from superset_ext.aggregates.regrouped import regrouped
from superset_ext.aggregates.shape import Shape
from superset_ext.aggregates.ties import may_choose
from superset_ext.aggregates.view import View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.copying import copied, has_aggregate


@dataclass(frozen=True)
class Match:
    """A statement as an aggregate answers it."""

    view: View
    sql: str


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
        if not allowed.ties and may_choose(shape, view):
            raise AggregateRefused("its LIMIT chooses among rows that may tie: ORDER BY does not name every key")
        return Match(view, _rewritten(shape, view, allowed).sql(dialect=shape.engine, copy=False))
    except AggregateRefused as refused:
        return Refusal(str(refused))


def _rewritten(shape: Shape, view: View, allowed: Allowed) -> exp.Select:
    _refuse_looks(shape, view, allowed)
    refuse_infinite(shape, view)
    select = exp.Select(expressions=[_output(shape, place, view, allowed) for place in range(len(shape.outputs))])
    select.set("from_" if "from_" in exp.Select.arg_types else "from", exp.From(this=_source(view)))
    if shape.conditions:
        select = select.where(*(over(condition, view, allowed) for condition in shape.conditions), copy=False)
    if shape.keys:
        select = select.group_by(*(over(key, view, allowed) for key in shape.keys), copy=False)
    if shape.having is not None:
        select = select.having(regrouped(shape.having, view, allowed), copy=False)
    return _cut(select, shape, view, allowed)


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


def _cut(select: exp.Select, shape: Shape, view: View, allowed: Allowed) -> exp.Select:
    """With its order and its limit."""
    if shape.order:
        terms = [copied(term) for term in shape.order]
        for term, meant in zip(terms, shape.meant, strict=True):
            if term.args.get("this") is None:
                term.set("this", regrouped(meant, view, allowed))
        select.set("order", exp.Order(expressions=terms))
    if shape.limit is not None:
        select.set("limit", exp.Limit(expression=exp.Literal.number(shape.limit)))
    if shape.offset is not None:
        select.set("offset", exp.Offset(expression=exp.Literal.number(shape.offset)))
    return select.distinct(copy=False) if shape.distinct else select


def _refuse_looks(shape: Shape, view: View, allowed: Allowed) -> None:
    """Refuse what tells equal values of a key apart; aggregates look for themselves."""
    for part in shape.parts():
        shown = not allowed.loose and any(part is output.value for output in shape.outputs)
        for value in outside_aggregates(part):
            refuse_inside(value, view.columns, shown and value is part)


def outside_aggregates(node: exp.Expression) -> list[exp.Expression]:
    """The largest parts of an expression that have no aggregate in them."""
    if isinstance(node, exp.AggFunc):
        return []
    if not has_aggregate(node):
        return [node]
    return [part for child in node.iter_expressions() for part in outside_aggregates(child)]
