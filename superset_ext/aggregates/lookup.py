"""The smallest of many aggregates that answers a statement, found without looking at each.

A statement that names none of their tables is not parsed. Of the others only those aggregates are matched that are made
of what it reads and have its columns, those of fewest rows first. What came of a text is remembered.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sqlglot import exp

from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.seen import seen
from superset_ext.aggregates.shape import Shape, relation_of, shape_of
from superset_ext.aggregates.view import View
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.clauses import bare
from superset_ext.plans.rewrite.copying import columns, nodes
from superset_ext.plans.rewrite.rewriting import parsed

_REMEMBERED = 2_000  # texts
_MOST = 20  # aggregates that are matched with a statement
_WORD = re.compile(r"\w+")


class Lookup:
    """The aggregates of one source, as they are now; make another one when they change. For one thread.

    Args:
        views: built ones, with their rows.
        engine: as sqlglot calls it.
        schema: where the statements' names without one are looked up first; empty where that is not known. A view's
            relation has its schema then, as `Definition.settled_view` has it.
    """

    def __init__(self, views: Iterable[View], engine: str, schema: str = "") -> None:
        self._engine, self._schema = engine, schema
        self._by_relation: dict[str, list[View]] = {}
        for view in sorted(views, key=lambda view: view.rows or 0):
            self._by_relation.setdefault(view.relation, []).append(view)
        self._words = {_rarest(relation, engine) for relation in self._by_relation}
        self._known: OrderedDict[tuple[str, Allowed], Match | Refusal] = OrderedDict()

    def answer(self, sql: str, allowed: Allowed) -> Match | Refusal:
        """The text over the smallest aggregate that answers a statement, or why none does.

        Args:
            allowed: what the answer may differ by, and the session's time zone.
        """
        if self._words.isdisjoint(_WORD.findall(sql.lower())):
            return Refusal("no aggregate is made of what it reads")
        key = (sql, allowed)
        result = self._known.pop(key, None) or self._looked_up(sql, allowed)
        self._known[key] = result
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return result

    def _looked_up(self, sql: str, allowed: Allowed) -> Match | Refusal:
        tree = parsed(sql, self._engine)
        if isinstance(tree, str):
            return Refusal(tree)
        relation = ""
        try:
            relation = relation_of(tree, self._engine, self._schema)
            views = self._by_relation.get(relation, [])
            if not views:
                return Refusal("no aggregate is made of what it reads")
            result = _first(shape_of(tree, self._engine, views[0].columns, self._schema), views, allowed)
        except AggregateRefused as refused:
            result = Refusal(str(refused))
        return result if isinstance(result, Match) else replace(result, relation=relation)


def _first(shape: Shape, views: Sequence[View], allowed: Allowed) -> Match | Refusal:
    """The first of them that answers; the reason of the first that does not, where none does."""
    wanted = _Wanted.of(shape, allowed)
    able = islice((view for view in views if wanted.may_come_from(view)), _MOST)
    first: Refusal | None = None
    for view in able:
        result = match(shape, view, allowed)
        if isinstance(result, Match):
            return result
        first = first or result
    return first or Refusal(f"no aggregate keeps {min(wanted.lacking(view) for view in views[:_MOST])}")


@dataclass(frozen=True)
class _Wanted:
    """What an aggregate must have to answer a statement, as far as sets tell.

    Attributes:
        names: all columns; `grains` of time that are filtered or grouped by; `columns` that are so, of other kinds.
        sums: columns that are added up; `extremes` those of which the least or the greatest is asked, with which.
    """

    names: frozenset[str]
    columns: frozenset[str]
    grains: frozenset[tuple[str, str]]
    sums: frozenset[str]
    extremes: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, shape: Shape, allowed: Allowed) -> _Wanted:
        """What a statement wants."""
        grouping = shape.grouping()
        sights = [seen(part, shape.columns, shape.engine, allowed.zone) for part in grouping]
        plain = [part for part, sight in zip(grouping, sights, strict=True) if sight is None]
        everything = [node for part in shape.parts() for node in nodes(part)]
        aggregates = [(node.key, bare(node.this)) for node in everything if isinstance(node, exp.AggFunc)]
        of_columns = [(function, node.name) for function, node in aggregates if isinstance(node, exp.Column)]
        return cls(
            frozenset(node.name for node in everything if isinstance(node, exp.Column)),
            frozenset(name.name for part in plain for name in columns(part)),
            frozenset((sight.name, sight.unit) for sight in sights if sight is not None),
            frozenset(name for function, name in of_columns if function in ("sum", "avg")),
            frozenset((function, name) for function, name in of_columns if function in ("min", "max")),
        )  # fmt: skip

    def may_come_from(self, view: View) -> bool:
        """Whether a view may answer it: quick, since it is asked of all of a relation."""
        keys = view.by_column.keys()
        return (
            self.names <= view.kept_columns
            and self.columns <= keys
            and self.sums <= view.of_columns["sum"]
            and all(name in keys or name in view.of_columns[function] for function, name in self.extremes)
            and all(view.key(name, unit) is not None for name, unit in self.grains)
        )

    def lacking(self, view: View) -> str:
        """The column that a view lacks, in words."""
        keys = view.by_column.keys()
        lacking = (self.names - view.kept_columns) | (self.columns - keys) | (self.sums - view.of_columns["sum"])
        lacking |= {name for function, name in self.extremes if name not in view.of_columns[function] | keys}
        lacking |= {name for name, unit in self.grains if view.key(name, unit) is None}
        return f"what is asked of the column {min(lacking)!r}"


def _rarest(relation: str, engine: str) -> str:
    """A word that each statement has which reads a relation: the longest one of a name in it."""
    tree = parsed(f"SELECT 1 FROM {relation}" if relation.startswith('"') else relation, engine)  # noqa: S608
    tables = [] if isinstance(tree, str) else list(tree.find_all(exp.Table))
    words = _WORD.findall((tables[0].name if tables else relation).lower())
    return max(words, key=len, default="")
