"""A sample of the source databases, once a minute: their connections, running queries and waits for locks."""

from __future__ import annotations

from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.samples.activity import activities, can_be_asked, engines_by_id
from superset_ext.settings import Settings

_WRITE = """
INSERT INTO superset_ext.database_sample (at, database_id, connections, running, lock_seconds)
VALUES (now(), %s, %s, %s, %s)
"""


def sample_databases(app: Any, database: LogDatabase, settings: Settings) -> int:
    """Write a row for each source database and return their number; within an app context.

    A PostgreSQL database is asked, and has no row if it does not answer. Of other engines, the log shows how many
    queries were under way; the connections are unknown.
    """
    engines = engines_by_id()
    asked = {number for number, engine in engines.items() if can_be_asked(engine)}
    activity = activities(app, asked)
    with database.transaction() as cursor:
        # A query is in the log only some time after its end.
        cursor.execute(database.statement("queries_under_way"), {"late": 2 * settings.recorder_flush_seconds})
        running = dict(cursor.fetchall())
        rows: dict[int, tuple[int | None, float, float | None]] = {
            number: (None, running.get(number, 0.0), None) for number in engines if number not in asked
        }
        rows |= {number: (now.connections, float(now.running), now.lock_seconds) for number, now in activity.items()}
        for number, row in rows.items():
            cursor.execute(_WRITE, (number, *row))
    return len(rows)
