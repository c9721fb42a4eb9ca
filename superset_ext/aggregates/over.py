"""An expression over rows of a relation, as one over rows of its aggregate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from superset_ext.aggregates.seen import seen
from superset_ext.aggregates.view import Key, View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.copying import columns, replaced
from superset_ext.plans.rewrite.facts import Column, Kind

_NUMBERS = (Kind.FLOAT, Kind.NUMERIC)
SOURCE = "t"  # what the aggregate is called in a statement
_COMPARE = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Is, exp.Between, exp.In,
)  # fmt: skip


@dataclass(frozen=True)
class Allowed:
    """What an answer may differ by. By default by nothing.

    Attributes:
        floats: the last digits of sums of floating point numbers, which two runs of the original may differ by too.
        ties: which of several rows that tie a LIMIT leaves out.
        loose: how a value looks of several that are equal: 1.0 and 1.00, −0 and 0, `a` and `A` under some collations.
        zone: the time zone of the session that runs the statement; empty where it is not known.
    """

    floats: bool = False
    ties: bool = False
    loose: bool = False
    zone: str = ""


EXACT = Allowed()


def kept(view: View, name: str) -> exp.Column:
    """A column of the aggregate in a statement that reads it."""
    return exp.Column(this=exp.Identifier(this=name, quoted=True), table=exp.Identifier(this=SOURCE))


def over(node: exp.Expression, view: View, allowed: Allowed) -> exp.Expression:
    """An expression without aggregates, over the keys of an aggregate.

    Raises:
        AggregateRefused: the keys do not tell its value.
    """

    def instead(part: exp.Expression) -> exp.Expression | None:
        sight = seen(part, view.columns, view.engine, allowed.zone)
        if sight is not None and (key := view.key(sight.name, sight.unit)) is not None:
            return _of_grain(part, key, sight.unit, view)
        return kept(view, view.names[_raw(part.name, view)]) if isinstance(part, exp.Column) else None

    return replaced(node, instead)


def _raw(name: str, view: View) -> Key:
    key = view.key(name, None)
    if key is None:
        grains = [one.unit for one in view.by_column.get(name, ()) if one.unit]
        detail = f" but by {grains[0]}" if grains else ""
        raise AggregateRefused(f"the column {name!r} is not kept{detail}")
    return key


def _of_grain(node: exp.Expression, key: Key, unit: str, view: View) -> exp.Expression:
    value = kept(view, view.names[key])
    if isinstance(node, exp.TimestampTrunc | exp.DateTrunc) and key.unit == unit:
        return value
    return replaced(node, lambda part: value if isinstance(part, exp.Column) else None)


def refuse_inside(node: exp.Expression, known: Mapping[str, Column], shown: bool, loose: bool = False) -> None:
    """Refuse what tells apart values that a group holds to be equal.

    Args:
        known: the relation's columns.
        shown: whether the value itself must not be shown either.
        loose: whether the result may be another one of several that are equal.

    Raises:
        AggregateRefused: it does.
    """
    for name in columns(node):
        if known[name.name].identical:
            continue
        if loose and known[name.name].kind in _NUMBERS and _keeps_equal(name, node):
            continue
        if name is not node and not isinstance(name.parent, _COMPARE):
            raise AggregateRefused(f"it looks into {name.name!r}, whose equal values may look different")
        if name is node and shown:
            raise AggregateRefused(f"it shows {name.name!r}, whose equal values may look different")


def _keeps_equal(name: exp.Expression, node: exp.Expression) -> bool:
    """Whether equal numbers of a column give equal results: it is added, multiplied, or cast to double."""
    while name is not node and name.parent is not None:
        name = name.parent
        is_cast = type(name) is exp.Cast and name.to.this == exp.DataType.Type.DOUBLE
        if not is_cast and not isinstance(name, exp.Add | exp.Sub | exp.Mul | exp.Neg | exp.Paren):
            return False
    return True
