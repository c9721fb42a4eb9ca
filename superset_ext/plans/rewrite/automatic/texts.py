"""What rules make of texts by what is known of their tables, remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from superset_ext.plans.rewrite.automatic.proven import Name, Noted, NotKnown, Relations, remembered
from superset_ext.plans.rewrite.facts import Relation
from superset_ext.plans.rewrite.rewriting import Rule, rewritten

_REMEMBERED = 500  # texts
_LONG = 16 * 1024  # characters; what is longer is not remembered
_PLACES = 100  # databases and schemas whose tables are remembered
_TABLES = 1_000  # of one of them

Place = tuple[int, str | None, str | None]  # of names: a database, a catalog and a schema


@dataclass(frozen=True, slots=True)
class Text:
    """What rules make of a text.

    Attributes:
        rules: that apply; none where it stays as it is.
        relations: what they were told of its tables.
        below: see `Substitution`.
    """

    sql: str
    rules: tuple[str, ...]
    relations: Relations
    below: int | None


class Texts:
    """The texts and tables that this process remembers.

    Args:
        rules: those that there are, by their names.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._lock = threading.Lock()
        self._texts: OrderedDict[bytes, Text] = OrderedDict()
        self._places: OrderedDict[Place, dict[Name, Relation | None]] = OrderedDict()

    def text(self, place: Place, sql: str, names: Sequence[str]) -> Text | None:
        """What rules of these names make of a statement; `None` where not all of its tables are known."""
        key = sha256("\n".join(map(str, (*place, *names, sql))).encode(errors="surrogatepass")).digest()
        with self._lock:
            text = self._texts.pop(key, None)
            relations = dict(self._places.get(place, {}))
        if text is None and (text := self._made(sql, relations, names)) is None:
            return None
        with self._lock:
            if len(sql) < _LONG:
                self._texts[key] = text
            if len(self._texts) > _REMEMBERED:
                self._texts.popitem(last=False)
        return text

    def _made(self, sql: str, relations: Relations, names: Sequence[str]) -> Text | None:
        facts = Noted(remembered(relations))
        try:
            rewriting = rewritten(sql, facts, [self._rules[name] for name in names])
        except NotKnown:
            return None
        return Text(rewriting.sql, rewriting.applied, facts.relations, rewriting.below)

    def remember(self, place: Place, relations: Relations) -> None:
        """The source says this of some tables."""
        with self._lock:
            tables = self._places.setdefault(place, {})
            if len(tables) > _TABLES:
                tables.clear()
            tables.update(relations)
            self._places.move_to_end(place)
            if len(self._places) > _PLACES:
                self._places.popitem(last=False)

    def forget(self, place: Place | None = None) -> None:
        """A table of a place was defined anew; without one, forget all texts, but no table."""
        with self._lock:
            if place is not None:
                self._places.pop(place, None)
            self._texts.clear()
