"""Parts of a time that may be infinite.

DuckDB gives NULL or any number for a part of an infinite time, as the plan has it: the same statement differs with its
optimizer on and off. Some plans of a grain of such a time end with an error. PostgreSQL settles both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlglot import exp

from superset_ext.aggregates.shape import Shape
from superset_ext.aggregates.view import Key, View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.facts import Kind

_CUTS = (exp.TimestampTrunc, exp.DateTrunc)
PARTS = (exp.Extract, exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day)
TIMES = {Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ}


def refuse_infinite(shape: Shape, view: View) -> None:
    """Refuse parts of a time where the engine does not settle them for infinite ones, and there may be such.

    Raises:
        AggregateRefused: it has one.
    """
    if shape.engine != "duckdb":
        return
    bounded = view.finite | (_above(shape.conditions) & _below(shape.conditions))
    for part in shape.parts():
        for node in part.find_all(*PARTS, *_CUTS):
            is_cut = isinstance(node, _CUTS)
            for name in _times(node, shape) - (view.finite if is_cut else bounded):
                if not is_cut:
                    raise AggregateRefused(f"it asks for a part of {name!r}, which may be infinite")
                if Key(name, node.text("unit").lower()) not in view.keys:
                    raise AggregateRefused(f"it cuts {name!r}, which may be infinite")


def _times(node: exp.Expression, shape: Shape) -> set[str]:
    """The columns of time that it is of."""
    return {name.name for name in node.find_all(exp.Column) if shape.columns[name.name].kind in TIMES}


def _above(conditions: Iterable[exp.Expression]) -> set[str]:
    """Columns that lie above a finite constant."""
    return _bounded(conditions, (exp.GT, exp.GTE), "low")


def _below(conditions: Iterable[exp.Expression]) -> set[str]:
    return _bounded(conditions, (exp.LT, exp.LTE), "high")


def _bounded(conditions: Iterable[exp.Expression], kinds: tuple[type[exp.Expression], ...], end: str) -> set[str]:
    names = set()
    for condition in conditions:
        bound = condition.args.get(end if isinstance(condition, exp.Between) else "expression")
        if isinstance(condition, (*kinds, exp.Between)) and isinstance(condition.this, exp.Column) and _is_date(bound):
            names.add(condition.this.name)
    return names


def _is_date(node: object) -> bool:
    """Whether it is the text of a day that a calendar has: «infinity» begins with no year."""
    inner = node.this if isinstance(node, exp.Cast | exp.StrToDate | exp.StrToTime) else node
    return isinstance(inner, exp.Literal) and inner.is_string and re.match(r"\d{4}-\d\d", inner.name) is not None
