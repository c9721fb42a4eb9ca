"""One verb: `changed`. Whoever knows that data, or what is shown of it, is not what it was calls it.

It stamps the tags of what changed (see `cache.stamps`), in one round trip whose cost does not depend on how
many entries there are. Once it has returned, no read that begins later gets anything older.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from superset_ext.cache.dependencies import for_operations
from superset_ext.cache.tags import ALL, ANY, object_tag, table_tag, tables_tag
from superset_ext.core.signals import tell
from superset_ext.events import changed as told
from superset_ext.settings import Operation
from superset_ext.sqltables.table import Table

EXTENSION = "superset_ext_freshness"
Source = Literal["webhook", "cli", "superset", "sqllab", "postgresql", "probe"]
_SECONDS_KEPT = 3600.0  # a change said to be older than that has no useful delay


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table of one of Superset's databases.

    Attributes:
        database_id: Superset's id of the database.
        table: its name and schema; an unknown schema stands for the database's default one.
    """

    database_id: int
    table: Table

    def __str__(self) -> str:
        return f"{self.database_id}:{self.table}"


@dataclass(frozen=True, slots=True)
class Change:
    """What changed, in as far as somebody knows.

    Attributes:
        source: who says so.
        operation: what was done; rules may ignore some.
        tables: source tables whose data or definition changed.
        databases: ids of databases of which anything may have changed.
        datasets, charts, dashboards, layers: ids of Superset's own objects; a layer holds annotations.
        everything: drop all.
        at: when it happened, seconds since 1970; `None` where that is not known.
        user_id: Superset's id of whoever did it, `None` where nobody did.
    """

    source: Source
    operation: Operation
    tables: Sequence[SourceTable] = ()
    databases: Sequence[int] = ()
    datasets: Sequence[int] = ()
    charts: Sequence[int] = ()
    dashboards: Sequence[int] = ()
    layers: Sequence[int] = ()
    everything: bool = False
    at: float | None = None
    user_id: int | None = None

    def is_empty(self) -> bool:
        """Whether it names nothing."""
        named = (self.tables, self.databases, self.datasets, self.charts, self.dashboards, self.layers)
        return not self.everything and not any(named)

    def as_json(self) -> str:
        """As `from_json` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Change:
        """A change that was written by `as_json`."""
        said = json.loads(text)
        tables = [SourceTable(each["database_id"], Table(**each["table"])) for each in said.pop("tables")]
        return cls(**said, tables=tables)


@dataclass(frozen=True, slots=True)
class Told:
    """A change that the caches know of.

    Attributes:
        change: what was said.
        tags: what was stamped, without the variants of single operations.
        stamped_at: when, by the clock of Redis, in seconds since 1970.
        seconds: from the change until then, `None` where the time of the change is not known.
    """

    change: Change
    tags: tuple[str, ...]
    stamped_at: float
    seconds: float | None


class Stamps(Protocol):
    """Where stamps are written: the region of chart_data."""

    def stamp(self, tags: Collection[str]) -> float:
        """See `RegionCache.stamp`."""
        ...


Ancestors = Callable[[int, frozenset[Table]], "Collection[Table] | None"]


@dataclass(frozen=True)
class Freshness:
    """What `changed` works with, of one app.

    Attributes:
        stamps: the region of chart_data.
        ancestors: of a database's tables, those that they are parts of, and themselves with their schema; `None`
            where the source does not say.
        note: writes a change down; `None` where changes are not logged.
        forget: what is remembered of a database's views goes, since one of them may have been defined anew.
    """

    stamps: Callable[[], Stamps]
    ancestors: Ancestors
    note: Callable[[Told], None] | None
    forget: Callable[[int], None] = lambda _database_id: None

    def changed(self, change: Change, logged: bool = True) -> Told:
        """See the function of this name."""
        if change.operation == "schema_change":
            for database_id in {*change.databases, *(each.database_id for each in change.tables)}:
                self.forget(database_id)
        tags = tuple(sorted(set(self._tags(change))))
        variants = [each for tag in tags if tag != ALL for each in for_operations(tag, (change.operation,))]
        stamped_at = self.stamps().stamp({*tags, *variants})
        done = Told(change, tags, stamped_at, _since(change.at, stamped_at))
        if logged and self.note is not None:
            self.note(done)
        tell(told, change.source, done)
        return done

    def _tags(self, change: Change) -> Iterator[str]:
        yield ANY
        if change.everything:
            yield ALL
        for kind, numbers in _objects(change).items():
            yield from (object_tag(kind, number) for number in numbers)
        for database_id in {each.database_id for each in change.tables}:
            tables = frozenset(each.table for each in change.tables if each.database_id == database_id)
            yield from self._table_tags(database_id, tables, change.source)

    def _table_tags(self, database_id: int, tables: frozenset[Table], source: Source) -> Iterator[str]:
        # PostgreSQL's own triggers say what their table is a part of.
        whole = tables if source == "postgresql" else self.ancestors(database_id, tables)
        yield tables_tag(database_id)
        if whole is None or not all(table.schema for table in whole):
            yield object_tag("database", database_id)
        for table in {*tables, *(whole or ())}:
            yield table_tag(database_id, table)
            yield table_tag(database_id, Table("", table.name))


def changed(change: Change, logged: bool = True) -> Told:
    """Drop all that was read from what changed; needs an app context.

    Args:
        logged: whether it is a change of its own, and not one more word on the last.

    Raises:
        StoreUnavailable: Redis could not be told, and old answers may still be served.
    """
    from flask import current_app

    freshness: Freshness = current_app.extensions[EXTENSION]
    return freshness.changed(change, logged)


def _objects(change: Change) -> dict[str, Sequence[int]]:
    return {
        "database": change.databases, "dataset": change.datasets, "chart": change.charts,
        "dashboard": change.dashboards, "layer": change.layers,
    }  # fmt: skip


def _since(at: float | None, stamped_at: float) -> float | None:
    if at is None or not 0 <= time.time() - at <= _SECONDS_KEPT:
        return None
    return max(0.0, stamped_at - at)


def as_rows(done: Told) -> dict[str, Any]:
    """A change as a row of `cache_invalidation_log`."""
    change = done.change
    return {
        "source": change.source, "operation": change.operation, "tables": [str(each) for each in change.tables],
        "tags": list(done.tags), "requested_by": change.user_id, "stamped_at": done.stamped_at,
        "seconds": done.seconds,
    }  # fmt: skip
