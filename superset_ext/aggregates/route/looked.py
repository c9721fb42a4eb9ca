"""The aggregates of a source as they were when it was last looked at, and what answers a statement there."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from superset_ext.aggregates.files.place import Place
from superset_ext.aggregates.lookup import Lookup
from superset_ext.aggregates.match import Match, Refusal
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.tables.definition import ENGINE
from superset_ext.aggregates.view import View, quoted

Named = tuple[str, str, str]  # a table as a statement writes it, its schema, its name


@dataclass(frozen=True)
class Known:
    """An aggregate that may answer charts.

    Attributes:
        tables: of the query that it is made of, as that writes them; empty where its base is a table.
        at: when it was looked at, by `time.monotonic()` in seconds.
        place: of the files of a DuckDB source.
    """

    kept: Kept
    tables: tuple[Named, ...]
    at: float
    place: Place | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.kept.name

    @property
    def built_us(self) -> int:
        """When it was built, in microseconds since 1970, by the source's clock."""
        built = self.kept.built_at
        return 0 if built is None else round(built.timestamp() * 1e6)

    @property
    def edition(self) -> str:
        """What stands for it until it is built anew."""
        return f"{self.name}.{self.built_us}"

    @property
    def age_seconds(self) -> float:
        """How old what it holds is at most."""
        age = self.kept.age_seconds
        return float("inf") if age is None else age + monotonic() - self.at

    def meant(self, view: View) -> tuple[Named, ...]:
        """The tables of a statement that it answers as `view`."""
        base = self.kept.definition.base
        return self.tables if base is None else ((view.relation, *base),)


class Schema:
    """What answers statements whose names are looked up in one schema.

    Args:
        known: all aggregates.
        path: where a name without a schema is looked up.
    """

    def __init__(self, known: Sequence[Known], path: Sequence[str]) -> None:
        self._lock = threading.Lock()
        engine = known[0].kept.view.engine if known else ENGINE
        self._lookup = Lookup((view for one in known for view in _views(one, path)), engine)

    def answer(self, sql: str, allowed: Allowed) -> Match | Refusal:
        """The text over the smallest aggregate that answers a statement, or why none does."""
        with self._lock:
            return self._lookup.answer(sql, allowed)


class Looked:
    """A source as it was looked at.

    Args:
        known: its aggregates that are ready.
        zone: of Superset's sessions.
        database: the source's own name of it.
        path: where Superset's sessions look names up.
        is_fixed: whether they do so there whatever the dataset's schema is.
    """

    def __init__(
        self, known: Sequence[Known], zone: str, database: str, path: Sequence[str], is_fixed: bool = False
    ) -> None:  # fmt: skip
        self.zone = zone
        self.database = database
        self._path = tuple(path)
        self._is_fixed = is_fixed
        self._by_table: Mapping[str, Known] = {one.kept.view.table: one for one in known}
        self._places: dict[str | None, Schema] = {}

    @property
    def _same(self) -> object:
        versions = tuple((one.edition, one.kept.version) for one in self._by_table.values())
        return versions, self.zone, self.database, self._path

    def after(self, before: Looked | None) -> Looked:
        """This, with what an earlier look remembers of statements, where the texts would be the same."""
        if before is not None and before._same == self._same:
            self._places = before._places
        return self

    def known(self, view: View) -> Known:
        """The aggregate of a view."""
        return self._by_table[view.table]

    def place(self, schema: str | None) -> Schema:
        """What answers statements of a dataset of this schema."""
        place = self._places.get(schema)
        if place is None:
            path = self._path if schema is None or self._is_fixed else (schema,)
            place = self._places[schema] = Schema(tuple(self._by_table.values()), path)
        return place


def _views(one: Known, path: Sequence[str]) -> list[View]:
    """An aggregate under each name that its base has in a statement."""
    base = one.kept.definition.base
    if base is None:
        return [one.kept.view]
    names = [".".join(map(quoted, base))] + ([quoted(base[1])] if base[0] in path else [])
    return [replace(one.kept.view, relation=name) for name in names]
