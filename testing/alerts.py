"""Rows that cause alerts, written as the recorder, the query log, the sampler, the refresh and warming write them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import load
from superset_ext.warm.registry import worth

SETTINGS = load({"SUPERSET_EXT_WARM_SCHEDULES": '[{"name": "nightly"}]'})
NOW = datetime.now(UTC).replace(microsecond=0)
_LOG = """
INSERT INTO superset_ext.cache_performance_log (created_at, window_seconds, host, pid, batch, cache_type, channel,
    cache_hits, cache_misses, miss_cold, miss_invalidated, errors, response_count, response_ms_sum)
VALUES (%(at)s, 5, 'h', 1, gen_random_uuid(), %(region)s, %(channel)s, %(hits)s, %(misses)s, %(cold)s, %(invalidated)s,
    %(errors)s, %(hits)s + %(misses)s, %(ms)s * (%(hits)s + %(misses)s))
"""
_QUERIES = """
INSERT INTO superset_ext.query_performance_log (created_at, host, pid, source, channel, database_id, fingerprint,
    duration_ms, error)
SELECT %(at)s, 'h', 1, %(source)s, %(channel)s, %(database)s, %(fingerprint)s, %(ms)s, %(error)s
FROM generate_series(1, %(n)s)
"""
_SAMPLE = """
INSERT INTO superset_ext.cache_sample (at, region, server, shared, server_memory, maxmemory)
SELECT %(at)s::timestamptz - make_interval(mins => ago), region, 'redis:6379', true, %(used)s, 1000
FROM generate_series(0, 4) AS ago, unnest(ARRAY['chart_data', 'metadata']) AS region
"""


def at(minutes: float) -> datetime:
    """So many minutes after `NOW`."""
    return NOW + timedelta(minutes=minutes)


def write(database: LogDatabase, sql: str, /, **values: Any) -> None:
    """One statement, committed."""
    with database.transaction() as cursor:
        cursor.execute(sql, values)


def make_days(database: LogDatabase) -> None:
    """Partitions from two days ago to tomorrow, whenever the test runs."""
    for table in ("cache_performance_log", "query_performance_log"):
        write(
            database,
            "SELECT superset_ext.create_day_partition(%(table)s, superset_ext.utc_today() + n)"
            " FROM generate_series(-3, 1) AS n",
            table=table,
        )


def requests(database: LogDatabase, minutes: float, hits: int, misses: int, /, **more: Any) -> None:
    """Reads of a region."""
    values = {"region": "chart_data", "channel": "web", "cold": 0, "invalidated": 0, "errors": 0, "ms": 50.0} | more
    write(database, _LOG, at=at(minutes), hits=hits, misses=misses, **values)


def queries(database: LogDatabase, minutes: float, n: int, ms: float = 100.0, /, **more: Any) -> None:
    """Queries to a source."""
    values = {"source": "chart", "channel": "web", "database": 3, "fingerprint": None, "error": None} | more
    write(database, _QUERIES, at=at(minutes), n=n, ms=ms, **values)


def statement(database: LogDatabase, minutes: float, fingerprint: str) -> None:
    """A statement that is sent for the first time."""
    write(
        database,
        "INSERT INTO superset_ext.query_fingerprint (fingerprint, database_id, sql, first_seen, last_seen)"
        " VALUES (%(fingerprint)s, 3, 'SELECT ?', %(at)s, %(at)s)",
        fingerprint=fingerprint, at=at(minutes),
    )  # fmt: skip


def memory(database: LogDatabase, minutes: float, used: int) -> None:
    """Five samples of a server that may use 1000 bytes."""
    write(database, _SAMPLE, at=at(minutes), used=used)


def refreshed(database: LogDatabase, minutes: float) -> None:
    """A view's last refresh."""
    write(
        database,
        "INSERT INTO superset_ext.view_refresh (view, refreshed_at) VALUES ('perf_chart', %(at)s)"
        " ON CONFLICT (view) DO UPDATE SET refreshed_at = excluded.refreshed_at",
        at=at(minutes),
    )


def run(database: LogDatabase, minutes: float, states: str = "", state: str = "done", schedule: str = "nightly") -> str:
    """A run of a schedule that ended, with an item for each letter: w for warmed, f for failed."""
    run_id = str(uuid4())
    write(
        database,
        "INSERT INTO superset_ext.cache_warm_run (run_id, schedule, due_at, options, options_hash, requested_by, state,"
        " created_at, finished_at) VALUES (%(id)s, %(schedule)s, %(at)s, '{}', %(id)s, 'beat', %(state)s, %(at)s,"
        " %(at)s)",
        id=run_id, schedule=schedule, at=at(minutes), state=state,
    )  # fmt: skip
    for ordinal, letter in enumerate(states, 1):
        write(
            database,
            "INSERT INTO superset_ext.cache_warm_item (run_id, ordinal, action, identity, state)"
            " VALUES (%(id)s, %(ordinal)s, 'replay', 'user:1', %(state)s)",
            id=run_id, ordinal=ordinal, state={"w": "warmed", "f": "failed"}[letter],
        )  # fmt: skip
    return run_id


def warmed(database: LogDatabase, minutes: float, reads: int) -> None:
    """A run that stored an entry that was read so often before it went, settled as Celery's task does it."""
    run_id = run(database, minutes, "w")
    write(
        database,
        "INSERT INTO superset_ext.cache_warm_entry (run_id, cache_key, ordinal, cost_ms, reads, expires_at)"
        " VALUES (%(id)s, %(id)s, 1, 500, %(reads)s, now() - interval '1 second')",
        id=run_id, reads=reads,
    )  # fmt: skip
    worth.settle(database)
