"""Which of many aggregates of a relation have what a statement wants, without looking at each.

For each column an index has the aggregates that keep it, as the bits of one number; a statement's columns are one AND.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

from sqlglot import exp

from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.seen import seen
from superset_ext.aggregates.shape import Shape
from superset_ext.aggregates.view import View
from superset_ext.plans.rewrite.clauses import bare
from superset_ext.plans.rewrite.copying import columns, nodes

_COLUMN, _KEY = "column", "key"


@dataclass(frozen=True)
class Wanted:
    """What an aggregate must have to answer a statement, as far as sets tell.

    Attributes:
        names: all columns; `grains` of time that are filtered or grouped by; `columns` that are so, of other kinds.
        sums: columns that are added up.
        kept: functions (`count`, `min`, `max`) and the columns that they are of; a key has them all.
    """

    names: frozenset[str]
    columns: frozenset[str]
    grains: frozenset[tuple[str, str]]
    sums: frozenset[str]
    kept: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, shape: Shape, allowed: Allowed) -> Wanted:
        """What a statement wants."""
        grouping = shape.grouping()
        sights = [seen(part, shape.columns, shape.engine, allowed.zone) for part in grouping]
        plain = [part for part, sight in zip(grouping, sights, strict=True) if sight is None]
        everything = [node for part in shape.parts() for node in nodes(part)]
        aggregates = [(node.key, bare(node.this)) for node in everything if isinstance(node, exp.AggFunc)]
        of_columns = [(function, node.name) for function, node in aggregates if isinstance(node, exp.Column)]
        functions = [("count" if function == "avg" else function, name) for function, name in of_columns]
        return cls(
            frozenset(node.name for node in everything if isinstance(node, exp.Column)),
            frozenset(name.name for part in plain for name in columns(part)),
            frozenset((sight.name, sight.unit) for sight in sights if sight is not None),
            frozenset(name for function, name in of_columns if function in ("sum", "avg")),
            frozenset(one for one in functions if one[0] != "sum"),
        )

    def lacking(self, view: View) -> str:
        """The column that a view lacks, in words."""
        keys = view.by_column.keys()
        lacking = (self.names - view.kept_columns) | (self.columns - keys) | (self.sums - view.of_columns["sum"])
        lacking |= {name for function, name in self.kept if name not in view.of_columns[function] | keys}
        lacking |= {name for name, unit in self.grains if view.key(name, unit) is None}
        return f"what is asked of the column {min(lacking)!r}"


class Index:
    """Aggregates of one relation.

    Args:
        views: those to be taken first come first.
    """

    def __init__(self, views: Sequence[View]) -> None:
        self.views = views
        self._all = (1 << len(views)) - 1
        self._having: dict[tuple[str, str], int] = {}
        self._grains: dict[tuple[str, str], int] = {}
        for place, view in enumerate(views):
            for part in _parts(view):
                self._having[part] = self._having.get(part, 0) | 1 << place

    def able(self, wanted: Wanted) -> Iterator[View]:
        """Those that have what a statement wants."""
        masks = [self._with(_COLUMN, name) for name in wanted.names]
        masks += [self._with(_KEY, name) for name in wanted.columns]
        masks += [self._with("sum", name) for name in wanted.sums]
        masks += [self._with(function, name) | self._with(_KEY, name) for function, name in wanted.kept]
        masks += [self._with_grain(name, unit) for name, unit in wanted.grains]
        left = reduce(and_, masks, self._all)
        while left:
            first = left & -left
            left ^= first
            yield self.views[first.bit_length() - 1]

    def _with(self, part: str, name: str) -> int:
        return self._having.get((part, name), 0)

    def _with_grain(self, name: str, unit: str) -> int:
        if (name, unit) not in self._grains:
            places = (1 << place for place, view in enumerate(self.views) if view.key(name, unit) is not None)
            self._grains[name, unit] = sum(places)
        return self._grains[name, unit]


def _parts(view: View) -> Iterator[tuple[str, str]]:
    """What a view has of which columns."""
    yield from ((_COLUMN, name) for name in view.kept_columns)
    yield from ((_KEY, name) for name in view.by_column)
    yield from ((function, name) for function, names in view.of_columns.items() for name in names)
