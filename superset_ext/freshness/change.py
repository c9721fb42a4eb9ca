"""One verb, `changed`: call it when data changed, or when what is shown of the data changed.

It stamps the tags of what changed (see `cache.stamps`) in one round trip, whose cost does not depend on how many
entries there are. Once it has returned, no read that begins later gets older data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from superset_ext import events
from superset_ext.cache.dependencies import variants
from superset_ext.cache.tags import ALL, ANY, VIEWS, object_tag, table_tag, tables_tag
from superset_ext.core.signals import attempt, tell
from superset_ext.settings import Operation
from superset_ext.sqltables.table import Table

EXTENSION = "superset_ext_freshness"
Source = Literal["webhook", "cli", "superset", "sqllab", "postgresql", "probe"]
_LONGEST_DELAY = 3600.0  # seconds; a change that is reported later than that has no useful delay


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table of one of Superset's databases.

    Attributes:
        database_id: Superset's id of the database.
        table: its name and schema; an unknown schema stands for the database's default one.
        unheard: nobody reported a change of it; it may have changed while nobody listened.
    """

    database_id: int
    table: Table
    unheard: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.database_id}:{self.table}"


@dataclass(frozen=True, slots=True)
class Change:
    """What changed, as far as it is known.

    Attributes:
        source: who reports it.
        operation: what was done; a rule may ignore some operations.
        tables: source tables whose data or definition changed.
        functions: functions of source databases that may have been called, and may have written anything.
        databases: ids of databases in which anything may have changed.
        datasets, charts, dashboards, layers: ids of Superset's own objects; a layer holds annotations.
        everything: whether all entries are dropped.
        at: when it happened, in seconds since 1970, or `None` if that is not known.
        user_id: Superset's id of the user who did it, or `None` if no user did.
        precaution: whether nothing may have changed at all: nobody reported it, and nobody listened for a while.
    """

    source: Source
    operation: Operation
    tables: Sequence[SourceTable] = ()
    functions: Sequence[SourceTable] = ()
    databases: Sequence[int] = ()
    datasets: Sequence[int] = ()
    charts: Sequence[int] = ()
    dashboards: Sequence[int] = ()
    layers: Sequence[int] = ()
    everything: bool = False
    at: float | None = None
    user_id: int | None = None
    precaution: bool = False

    def is_empty(self) -> bool:
        """Whether it names nothing."""
        named = (
            self.tables, self.functions, self.databases, self.datasets, self.charts, self.dashboards, self.layers
        )  # fmt: skip
        return not self.everything and not any(named)

    def operations(self) -> set[Operation]:
        """What was done, for rules that ignore some operations. What a person edits in Superset is an action too."""
        return {self.operation, "user_action"} if self.source == "superset" else {self.operation}

    def may_redefine(self) -> bool:
        """Whether a view may have another definition. Who reports a view by its name may say no more than that."""
        named_by_hand = self.source in ("webhook", "cli") and bool(self.tables)
        anything = self.everything or bool(self.databases)
        return self.operation == "schema_change" or named_by_hand or (anything and self.source != "superset")

    def as_json(self) -> str:
        """The change as text, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Change:
        """The change that `as_json` has written."""
        values = json.loads(text)
        tables, functions = (
            [_source_table(value) for value in values.pop(name, ())] for name in ("tables", "functions")
        )
        return cls(**values, tables=tables, functions=functions)


@dataclass(frozen=True, slots=True)
class StampedChange:
    """A change whose tags are stamped.

    Attributes:
        change: what changed.
        tags: the tags that were stamped, without their variants for one operation.
        stamped_at: when, by the clock of Redis, in seconds since 1970.
        seconds: from the change to its stamp, or `None` if the time of the change is not known.
    """

    change: Change
    tags: tuple[str, ...]
    stamped_at: float
    seconds: float | None


class Stamps(Protocol):
    """Where stamps are written: the region of chart_data."""

    def stamp(self, tags: Collection[str]) -> float:
        """Stamp the tags; the time of the stamp in seconds since 1970, by the clock of Redis."""
        ...


def _source_table(values: dict[str, Any]) -> SourceTable:
    return SourceTable(values["database_id"], Table(**values["table"]), values.get("unheard", False))


Ancestors = Callable[[int, frozenset[Table]], Collection[Table] | None]
Writing = Callable[[int, frozenset[Table], frozenset[str]], Collection[Table] | None]
Siblings = Callable[[int, bool], Collection[int]]


@dataclass(frozen=True)
class Freshness:
    """What `changed` needs in one app.

    Attributes:
        stamps: returns the region of chart_data.
        ancestors: returns these tables of a database with their schemas, and the tables that they are parts of; `None`
            if the source does not tell.
        written: returns, for tables whose rows were written and functions that may have been called, all tables that
            were written then, and those that they are parts of; `None` if the source does not tell.
        siblings: returns the ids of Superset's databases that are the same source as this one, itself included; of a
            stamp that is repeated, those that are remembered will do.
        note: writes a change to the log, or `None` if changes are not logged.
        forget: discards what is remembered about the views of a database, because one may have a new definition.
    """

    stamps: Callable[[], Stamps]
    ancestors: Ancestors
    note: Callable[[StampedChange], None] | None
    forget: Callable[[int], None] = lambda _database_id: None
    written: Writing | None = None
    siblings: Siblings = lambda database_id, _lately: (database_id,)

    def changed(self, change: Change, logged: bool = True) -> StampedChange:
        """See the function of this name. All that may fail happens before the stamp."""
        if change.operation == "schema_change":
            for database_id in {*change.databases, *(table.database_id for table in change.tables)}:
                self.forget(database_id)
        stamped_tags = set(self._tags(change, lately=not logged))
        tags = tuple(sorted(stamped_tags - {VIEWS}))
        stamped_at = self.stamps().stamp(stamped_tags | variants(tags, change.operations()))
        stamped = StampedChange(change, tags, stamped_at, _delay(change.at, stamped_at))
        if logged and self.note is not None:
            attempt(self.note, stamped)
        tell(events.changed, change.source, stamped)
        return stamped

    def _tags(self, change: Change, lately: bool) -> Iterator[str]:
        yield ANY
        if change.everything:
            yield ALL
        if change.may_redefine():
            yield VIEWS
        for kind, ids in _objects(change).items():
            yield from (object_tag(kind, number) for number in ids)
        if change.source != "superset":  # an edit there is one of Superset's object, and not of the source
            for database_id in change.databases:
                yield from (object_tag("database", sibling) for sibling in self.siblings(database_id, lately))
        named = (*change.tables, *change.functions)
        for database_id in {table.database_id for table in named}:
            yield from self._source_tags(database_id, change, lately)

    def _source_tags(self, database_id: int, change: Change, lately: bool) -> Iterator[str]:
        tables, functions = (
            frozenset(table.table for table in named if table.database_id == database_id)
            for named in (change.tables, change.functions)
        )
        whole = self._whole(database_id, tables, functions, change)
        if whole is None:
            yield VIEWS  # what may have written anything may have defined anything
        for sibling in {database_id, *self.siblings(database_id, lately)}:
            yield from _table_tags(sibling, tables, whole)

    def _whole(
        self, database_id: int, tables: frozenset[Table], functions: frozenset[Table], change: Change
    ) -> Collection[Table] | None:
        if change.source == "postgresql":  # its own triggers name the tables that theirs is a part of
            return tables
        if self.written is None or change.source == "probe" or change.operation != "data_update":
            return self.ancestors(database_id, tables)
        return self.written(database_id, tables, frozenset(function.name for function in functions))


def _table_tags(database_id: int, tables: frozenset[Table], whole: Collection[Table] | None) -> Iterator[str]:
    if tables or whole is None:
        yield tables_tag(database_id)
    if whole is None or not all(table.schema for table in whole):
        yield object_tag("database", database_id)
    for table in {*tables, *(whole or ())}:
        yield table_tag(database_id, table)
        yield table_tag(database_id, Table("", table.name))


def changed(change: Change, logged: bool = True) -> StampedChange:
    """Drop everything that was read from what changed. Needs an app context.

    Args:
        logged: whether this is a change of its own, and not a repeated stamp of the last one.

    Raises:
        StoreUnavailable: Redis could not be told; old answers may still be served. Nothing else fails: whatever
            follows the stamp can no longer make a change fail.
    """
    from flask import current_app

    freshness: Freshness = current_app.extensions[EXTENSION]
    return freshness.changed(change, logged)


def _objects(change: Change) -> dict[str, Sequence[int]]:
    return {
        "database": change.databases, "dataset": change.datasets, "chart": change.charts,
        "dashboard": change.dashboards, "layer": change.layers,
    }  # fmt: skip


def _delay(at: float | None, stamped_at: float) -> float | None:
    """Seconds from a change to its stamp, or `None` if its time is unknown, in the future or too long ago."""
    if at is None or not 0 <= time.time() - at <= _LONGEST_DELAY:
        return None
    return max(0.0, stamped_at - at)
