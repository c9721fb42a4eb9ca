"""What `superset perf listen` runs: a listener to Superset's databases that stamps this app's caches."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.freshness.change import Change, SourceTable, changed
from superset_ext.freshness.watch.listener import Listener
from superset_ext.freshness.watch.owed import Stamp
from superset_ext.freshness.watch.source import connect
from superset_ext.freshness.watch.wanted import wanted
from superset_ext.freshness.watch.watched import Name

HEARTBEAT = "superset perf listen"  # name of its row in superset_ext.heartbeat
_BEAT = """
INSERT INTO superset_ext.heartbeat AS known (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at
WHERE known.at < now() - interval '10 seconds'
"""


def listener(app: Any, log: LogDatabase) -> Listener:
    """A listener to all watched tables of Superset's databases."""
    return Listener(lambda: _wanted(log), lambda number: connect(app, number), stamping(app))


def stamping(app: Any) -> Stamp:
    """A function that stamps tables in the caches of this app."""

    def stamp(tables: Collection[SourceTable], again: bool) -> None:
        with app.app_context():
            for unheard in (False, True):
                if part := tuple(table for table in tables if table.unheard is unheard):
                    changed(Change("postgresql", "data_update", tables=part, precaution=unheard), logged=not again)

    return stamp


def _wanted(log: LogDatabase) -> Mapping[int, set[Name]]:
    """The tables to watch. It leaves a heartbeat, in the log and in the file system, for tuning and the container."""
    names = wanted(log)
    with log.transaction() as cursor:
        cursor.execute(_BEAT, (HEARTBEAT,))
    with suppress(OSError):
        Path(os.environ.get("SUPERSET_LISTENER_BEAT", "/tmp/superset-listener")).touch()  # noqa: S108
    return names
