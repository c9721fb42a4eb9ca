"""Keeps the log bounded: day partitions, rollups, old warming runs, and the registry of requests."""

from __future__ import annotations

from dataclasses import dataclass

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.schema import SCHEMA_SECONDS
from superset_ext.settings import Settings
from superset_ext.warm.registry import tables as registry

TABLES = ("cache_performance_log", "query_performance_log")
ROLLUP_MONTHS = 13
FINGERPRINTS = 100_000
# DROP TABLE waits for readers of the partition, and others wait behind it; no longer than this.
DROP_SECONDS = 2.0
_AHEAD = """
SELECT ahead FROM generate_series(0, %s) AS ahead
WHERE superset_ext.create_day_partition(%s, superset_ext.utc_today() + ahead)
"""
_DROP = "SELECT superset_ext.drop_day_partitions(%s, superset_ext.utc_today() - %s)"
# Kept as long as raw rows. Items and entries go with their warming run.
_BY_DAYS = {
    "cache_warm_run": "created_at",
    "cache_invalidation_log": "created_at",
    "cache_minute": "minute",
    "cache_sample": "at",
    "database_sample": "at",
    "query_fingerprint": "last_seen",
    "query_plan": "taken_at",
    "rewrite_use": "changed_at",
    "aggregate_use": "changed_at",
    "aggregate_refusal": "last_at",
    "aggregate_state": "seen_at",
}
# An open alert has no end yet, and so stays.
_BY_MONTHS = {
    "cache_hourly": "hour",
    "query_hourly": "hour",
    "performance_alert": "resolved_at",
    "cache_tuning_log": "created_at",
    "advice_log": "changed_at",
}
_OLD = "DELETE FROM superset_ext.{table} WHERE {column} < now() - make_interval(days => %s)"
_OLDER = "DELETE FROM superset_ext.{table} WHERE {column} < superset_ext.utc_today() - make_interval(months => %s)"
# Their sums are kept: totals never go down.
_OLD_DAYS = """
SELECT superset_ext.forget_days(log, (superset_ext.utc_today() - make_interval(months => %s))::date)
FROM superset_ext.rollup_state
"""
# People may write any number of statements; those sent last are kept.
_TOO_MANY = """
DELETE FROM superset_ext.query_fingerprint WHERE fingerprint IN (
    SELECT fingerprint FROM superset_ext.query_fingerprint ORDER BY last_seen DESC OFFSET %s
)
"""


@dataclass(frozen=True, slots=True)
class Maintained:
    """What one run of `maintain` did: partitions made, the names of dropped ones, and requests forgotten."""

    created: int
    dropped: tuple[str, ...]
    forgotten: int = 0


def maintain(database: LogDatabase, settings: Settings) -> Maintained:
    """Make the partitions of today and of `partitions_ahead` days, drop those older than `retention_days`, and delete
    what is too old or too much of everything else that grows.

    Any number of processes may do this at once, and as often as they like.

    Raises:
        LogUnavailable: the database does not answer, or an old partition is being read for too long; the next run
            drops it.
    """
    created, dropped = 0, []
    for table in TABLES:
        with database.transaction(SCHEMA_SECONDS) as cursor:
            cursor.execute(_AHEAD, (settings.partitions_ahead, table))
            created += len(cursor.fetchall())
        with database.transaction(DROP_SECONDS) as cursor:
            cursor.execute(_DROP, (table, settings.retention_days))
            dropped += [row[0] for row in cursor.fetchall()]
    _forget(database, settings)
    return Maintained(created, tuple(dropped), registry.forget(database, settings))


def _forget(database: LogDatabase, settings: Settings) -> None:
    for table, column in _BY_DAYS.items():
        _run(database, _OLD.format(table=table, column=column), settings.retention_days)
    for table, column in _BY_MONTHS.items():
        _run(database, _OLDER.format(table=table, column=column), ROLLUP_MONTHS)
    _run(database, _OLD_DAYS, ROLLUP_MONTHS)
    _run(database, _TOO_MANY, FINGERPRINTS)


def _run(database: LogDatabase, sql: str, bound: int) -> None:
    with database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute(sql, (bound,))
