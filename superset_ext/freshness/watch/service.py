"""What `superset perf listen` runs: a listener to Superset's databases that stamps this app's caches."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import current_app

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.dependencies import for_operations
from superset_ext.cache.tags import ANY, table_tag, tables_tag
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.change import Change, SourceTable, changed
from superset_ext.freshness.watch.listener import Listener, untitled
from superset_ext.freshness.watch.owed import Beat, Stamp
from superset_ext.freshness.watch.source import connect
from superset_ext.freshness.watch.wanted import wanted
from superset_ext.freshness.watch.watched import Name
from superset_ext.host.databases import name_of
from superset_ext.host.regions import regions
from superset_ext.host.same_source import same_source
from superset_ext.settings import Operation, Region
from superset_ext.sqltables.table import Table

_OPERATIONS: tuple[Operation, ...] = ("data_update",)
HEARTBEAT = "superset perf listen"  # name of its row in superset_ext.heartbeat
_BEAT = """
INSERT INTO superset_ext.heartbeat AS known (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at
WHERE known.at < now() - interval '10 seconds'
"""


def listener(app: Any, log: LogDatabase) -> Listener:
    """A listener to all watched tables of Superset's databases."""
    return Listener(
        lambda: _wanted(log), lambda number: connect(app, number), stamping(app), beating(app),
        lambda numbers: _retire(app, numbers), lambda number: _title(app, number),
    )  # fmt: skip


def _title(app: Any, number: int) -> str:
    """The name that a database has in Superset, with its id; the id alone while Superset's metadata cannot be read."""
    try:
        with app.app_context():
            return name_of(number)
    except Exception:  # noqa: BLE001  (what is being logged is another fault, or this one)
        return untitled(number)


def stamping(app: Any) -> Stamp:
    """A function that stamps tables in the caches of this app."""

    def stamp(tables: Collection[SourceTable], again: bool) -> None:
        with app.app_context():
            for unheard in (False, True):
                if part := tuple(table for table in tables if table.unheard is unheard):
                    changed(Change("postgresql", "data_update", tables=part, precaution=unheard), logged=not again)

    return stamp


def beating(app: Any) -> Beat:
    """A function that tells the readers of this app's caches which tables are heard of."""

    def beat(database_id: int, names: Collection[Name]) -> None:
        with app.app_context():
            say(database_id, names, hears=True)

    return beat


def say(database_id: int, names: Collection[Name], hears: bool) -> None:
    """Say which tables of a database are watched, and whether they are heard of now. Needs an app context.

    Where Redis cannot be told, readers learn nothing: they trust what was said before, for as long as that holds.
    """
    cache = regions(current_app).get(Region.CHART_DATA)
    if isinstance(cache, ChartCache):
        with suppress(StoreUnavailable):
            cache.beat(database_id, _tags(database_id, names), hears)


def _retire(app: Any, watched: Collection[int]) -> None:
    """Expect to hear of no other databases: somebody may have removed a watch while Redis could not be told."""
    with app.app_context(), suppress(StoreUnavailable):
        cache = regions(app).get(Region.CHART_DATA)
        if isinstance(cache, ChartCache):
            for number in cache.listeners().keys() - watched:
                cache.beat(number, (), hears=False)


def _tags(database_id: int, names: Collection[Name]) -> set[str]:
    """What a commit to these tables stamps, in each of Superset's databases over the same source."""
    if not names:
        return set()
    tables = {Table(schema, name.table) for name in names for schema in (name.schema, "")}
    plain = {ANY}
    for number in same_source(database_id, lately=True):
        plain |= {tables_tag(number), *(table_tag(number, table) for table in tables)}
    return plain | {variant for tag in plain for variant in for_operations(tag, _OPERATIONS)}


def _wanted(log: LogDatabase) -> Mapping[int, set[Name]]:
    """The tables to watch. It leaves a heartbeat, in the log and in the file system, for tuning and the container."""
    names = wanted(log)
    with log.transaction() as cursor:
        cursor.execute(_BEAT, (HEARTBEAT,))
    with suppress(OSError):
        Path(os.environ.get("SUPERSET_LISTENER_BEAT", "/tmp/superset-listener")).touch()  # noqa: S108
    return names
