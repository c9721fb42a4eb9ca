"""Keeps the day partitions of the log: some ahead, none older than the retention."""

from __future__ import annotations

from dataclasses import dataclass

from superset_ext.db import SCHEMA_SECONDS, LogDatabase
from superset_ext.settings import Settings

TABLES = ("cache_performance_log",)
# DROP TABLE waits for who reads the partition, and others wait behind it: not for longer than this.
DROP_SECONDS = 2.0
_AHEAD = """
SELECT ahead FROM generate_series(0, %s) AS ahead
WHERE superset_ext.create_day_partition(%s, superset_ext.utc_today() + ahead)
"""
_DROP = "SELECT superset_ext.drop_day_partitions(%s, superset_ext.utc_today() - %s)"


@dataclass(frozen=True, slots=True)
class Kept:
    """What one run of `maintain` did: partitions made, and the names of those dropped."""

    created: int
    dropped: tuple[str, ...]


def maintain(database: LogDatabase, settings: Settings) -> Kept:
    """Make the partitions of today and of `partitions_ahead` days, drop those older than `retention_days`.

    Any number of processes may do so at once, and as often as they like.

    Raises:
        LogUnavailable: the database does not answer, or somebody reads an old partition for too long;
            the next run drops it.
    """
    created, dropped = 0, []
    for table in TABLES:
        with database.transaction(SCHEMA_SECONDS) as cursor:
            cursor.execute(_AHEAD, (settings.partitions_ahead, table))
            created += len(cursor.fetchall())
        with database.transaction(DROP_SECONDS) as cursor:
            cursor.execute(_DROP, (table, settings.retention_days))
            dropped += [row[0] for row in cursor.fetchall()]
    return Kept(created, tuple(dropped))
