"""A table that is known without a server, and an aggregate of it: for tests of what a statement becomes."""

from __future__ import annotations

from dataclasses import replace

from superset_ext.aggregates.base import base
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.needs import needs
from superset_ext.aggregates.over import EXACT, Allowed
from superset_ext.aggregates.shape import Shape, shape_of
from superset_ext.aggregates.view import View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.facts import Column, Kind, Relation
from superset_ext.plans.rewrite.rewriting import parsed

_COLUMNS = (
    Column("shop", Kind.TEXT), Column("size", Kind.INTEGER), Column("at", Kind.TIMESTAMP), Column("day", Kind.DATE),
    Column("seen", Kind.TIMESTAMPTZ), Column("price", Kind.DECIMAL), Column("weight", Kind.FLOAT, identical=False),
    Column("amount", Kind.NUMERIC, identical=False), Column("town", Kind.TEXT, identical=False),
    Column("paid", Kind.BOOLEAN), Column("place", Kind.OTHER),
)  # fmt: skip
_TYPES = {"size": "bigint", "price": "numeric", "amount": "numeric", "weight": "double precision"}
SALES = Relation("sales", {column.name: column for column in _COLUMNS}, rows=1e6)


class Known:
    """A catalogue of this one table."""

    def __init__(self, engine: str = "postgres") -> None:
        self.engine = engine

    def relation(self, schema: str | None, name: str) -> Relation | None:
        return SALES if (schema, name) in ((None, "sales"), ("public", "sales")) else None


def read(sql: str, engine: str = "postgres") -> Shape:
    """The shape of a statement.

    Raises:
        AggregateRefused: it has none.
    """
    tree = parsed(sql, engine)
    if isinstance(tree, str):
        raise AggregateRefused(tree)
    return shape_of(tree, engine, base(tree, Known(engine)).columns)


def view_for(*statements: str, engine: str = "postgres", rows: int = 1000) -> View:
    """The aggregate that these statements need, as if it were built."""
    both = [needs(read(sql, engine), "UTC") for sql in statements]
    whole = both[0]
    for other in both[1:]:
        whole = whole.merged(other)
    view = whole.view("aggregates.sales_1")
    types = {view.names[one]: _TYPES.get(getattr(one.argument, "name", ""), "bigint") for one in view.measures}
    return replace(view.typed(types), rows=rows)


def answer(sql: str, view: View, allowed: Allowed = EXACT) -> str:
    """The statement's text over the aggregate, or why there is none after an exclamation mark."""
    try:
        result: Match | Refusal = match(read(sql, view.engine), view, allowed)
    except AggregateRefused as refused:
        result = Refusal(str(refused))
    return result.sql if isinstance(result, Match) else f"! {result.reason}"
