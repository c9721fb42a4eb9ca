"""The smallest of many aggregates that answers a statement, found without looking at each.

A statement that names none of their tables is not parsed. Of the others only those aggregates are matched that are made
of what it reads and have its columns, those of fewest rows first. What came of a text is remembered.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from sqlglot import exp

from superset_ext.aggregates.index import Index, Wanted
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.shape import Shape, relation_of, shape_of
from superset_ext.aggregates.view import View
from superset_ext.errors import AggregateRefused
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
        by_relation: dict[str, list[View]] = {}
        for view in sorted(views, key=lambda view: view.rows or 0):
            by_relation.setdefault(view.relation, []).append(view)
        self._by_relation = {relation: Index(some) for relation, some in by_relation.items()}
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
            index = self._by_relation.get(relation)
            if index is None:
                return Refusal("no aggregate is made of what it reads")
            result = _first(shape_of(tree, self._engine, index.views[0].columns, self._schema), index, allowed)
        except AggregateRefused as refused:
            result = Refusal(str(refused))
        return result if isinstance(result, Match) else replace(result, relation=relation)


def _first(shape: Shape, index: Index, allowed: Allowed) -> Match | Refusal:
    """The first of them that answers; the reason of the first that does not, where none does."""
    wanted = Wanted.of(shape, allowed)
    first: Refusal | None = None
    for view in islice(index.able(wanted), _MOST):
        result = match(shape, view, allowed)
        if isinstance(result, Match):
            return result
        first = first or result
    return first or Refusal(f"no aggregate keeps {min(wanted.lacking(view) for view in index.views[:_MOST])}")


def _rarest(relation: str, engine: str) -> str:
    """A word that each statement has which reads a relation: the longest one of a name in it."""
    tree = parsed(f"SELECT 1 FROM {relation}" if relation.startswith('"') else relation, engine)  # noqa: S608
    tables = [] if isinstance(tree, str) else list(tree.find_all(exp.Table))
    words = _WORD.findall((tables[0].name if tables else relation).lower())
    return max(words, key=len, default="")
