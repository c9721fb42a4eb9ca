"""What an aggregate must keep to answer a statement: keys and measures, as coarse as they may be."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from superset_ext.aggregates.grain import common
from superset_ext.aggregates.regrouped import argument, branches
from superset_ext.aggregates.seen import seen
from superset_ext.aggregates.shape import Columns, Shape
from superset_ext.aggregates.storable import is_storable
from superset_ext.aggregates.view import Key, Measure, View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.clauses import bare
from superset_ext.plans.rewrite.facts import Kind


@dataclass
class Needs:
    """Keys and measures that one or several statements need of one relation.

    Attributes:
        units: the grain that each key column needs, `None` for the column itself.
    """

    engine: str
    relation: str
    columns: Columns
    units: dict[str, str | None] = field(default_factory=dict)
    measures: dict[Measure, None] = field(default_factory=dict)

    def key(self, name: str, unit: str | None) -> None:
        """A key is needed, whatever else is."""
        self.units[name] = common(self.units[name], unit) if name in self.units else unit

    def measure(self, function: str, inner: exp.Expression) -> None:
        """A measure is needed."""
        self.measures[Measure(function, inner)] = None

    def merged(self, other: Needs) -> Needs:
        """What both need."""
        both = Needs(self.engine, self.relation, self.columns, dict(self.units), self.measures | other.measures)
        for name, unit in other.units.items():
            both.key(name, unit)
        return both

    def view(self, table: str) -> View:
        """The aggregate that keeps it."""
        keys = tuple(Key(name, unit) for name, unit in sorted(self.units.items()))
        return View(self.engine, self.relation, table, keys, tuple(self.measures), self.columns)


def needs(shape: Shape, zone: str = "") -> Needs:
    """What a statement needs.

    Raises:
        AggregateRefused: it needs what no aggregate keeps.
    """
    collected = Needs(shape.engine, shape.relation, shape.columns)
    for part in shape.parts():
        _collect(part, collected, zone)
    for name in collected.units:
        if shape.columns[name].kind == Kind.OTHER:
            raise AggregateRefused(f"the column {name!r} has a type that is not kept")
    return collected


def _collect(node: exp.Expression, into: Needs, zone: str) -> None:
    if isinstance(node, exp.AggFunc):
        _aggregate(node, into, zone)
    elif (sight := seen(node, into.columns, into.engine, zone)) is not None:
        into.key(sight.name, sight.unit)
    elif isinstance(node, exp.Column):
        into.key(node.name, None)
    else:
        for child in node.iter_expressions():
            _collect(child, into, zone)


def _aggregate(node: exp.Expression, into: Needs, zone: str) -> None:
    inner = argument(node)
    if isinstance(inner, exp.Distinct):
        for value in inner.expressions:
            _collect(bare(value), into, zone)
    elif not inner.find(exp.Column):
        return
    elif is_storable(node.key, inner, into.columns):
        for function in ("sum", "count") if isinstance(node, exp.Avg) else (node.key,):
            into.measure(function, inner)
    elif (ends := branches(inner)) is not None and not isinstance(node, exp.Min | exp.Max):
        for one in inner.args["ifs"]:
            _collect(one.this, into, zone)
        for end in ends:
            _aggregate(type(node)(this=end.copy()), into, zone)
    else:
        _collect(inner, into, zone)
