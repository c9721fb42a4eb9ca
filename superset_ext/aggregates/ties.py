"""Whether a LIMIT could choose otherwise among rows that tie."""

from __future__ import annotations

from math import prod

from sqlglot import exp

from superset_ext.aggregates.shape import Shape
from superset_ext.aggregates.view import View


def may_choose(shape: Shape, view: View) -> bool:
    """Whether the answer depends on how ties come out, as far as can be proven."""
    if shape.limit is None and shape.offset is None:
        return False
    one_row = not shape.has_groups and not shape.distinct
    return not (one_row or is_total(shape) or _cuts_nothing(shape, view))


def is_total(shape: Shape) -> bool:
    """Whether ORDER BY names every key, so that no two rows tie."""
    names = [output.value for output in shape.outputs] if shape.distinct else shape.keys
    return all(name in shape.meant for name in names)


def _cuts_nothing(shape: Shape, view: View) -> bool:
    """Whether there are never more groups than the LIMIT lets through."""
    most = most_groups(shape, view)
    return not shape.offset and shape.limit is not None and most is not None and most <= shape.limit


def most_groups(shape: Shape, view: View) -> int | None:
    """How many rows the answer has at most; `None` where that is not known."""
    names = [output.value for output in shape.outputs] if shape.distinct else shape.keys
    columns = {name.name for value in names for name in value.find_all(exp.Column)}
    values = [_values(name, view) for name in columns]
    known = [value for value in values if value is not None]
    bounds = [bound for bound in (view.rows, prod(known) if len(known) == len(values) else None) if bound is not None]
    return min(bounds, default=None)


def _values(name: str, view: View) -> int | None:
    """How many values the finest key of a column has."""
    keys = view.by_column.get(name, ())
    return max((view.distinct[view.names[key]] for key in keys if view.names[key] in view.distinct), default=None)
