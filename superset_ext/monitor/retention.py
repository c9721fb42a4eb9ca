"""Keeps the log within its bounds: day partitions, old warming runs, and the registry of requests."""

from __future__ import annotations

from dataclasses import dataclass

from superset_ext.db import SCHEMA_SECONDS, LogDatabase
from superset_ext.settings import Settings
from superset_ext.warm.registry import Registry

TABLES = ("cache_performance_log",)
# DROP TABLE waits for who reads the partition, and others wait behind it: not for longer than this.
DROP_SECONDS = 2.0
_AHEAD = """
SELECT ahead FROM generate_series(0, %s) AS ahead
WHERE superset_ext.create_day_partition(%s, superset_ext.utc_today() + ahead)
"""
_DROP = "SELECT superset_ext.drop_day_partitions(%s, superset_ext.utc_today() - %s)"
# Their items and entries go with them.
_OLD_RUNS = "DELETE FROM superset_ext.cache_warm_run WHERE created_at < now() - make_interval(days => %s)"
_OLD_CHANGES = "DELETE FROM superset_ext.cache_invalidation_log WHERE created_at < now() - make_interval(days => %s)"


@dataclass(frozen=True, slots=True)
class Kept:
    """What one run of `maintain` did: partitions made, the names of those dropped, and requests forgotten."""

    created: int
    dropped: tuple[str, ...]
    forgotten: int = 0


def maintain(database: LogDatabase, settings: Settings) -> Kept:
    """Make the partitions of today and of `partitions_ahead` days, drop those older than `retention_days`, and
    of warming's runs and requests what is too old or too much.

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
    with database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute(_OLD_RUNS, (settings.retention_days,))
        cursor.execute(_OLD_CHANGES, (settings.retention_days,))
    return Kept(created, tuple(dropped), Registry(database, settings).forget())
