"""Writes one batch of counts to `cache_performance_log`, in one transaction, exactly once."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from os import getpid
from typing import Any

from superset_ext.core.ids import fitting_id
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.events import Miss, Stored
from superset_ext.monitor.log.counts import Batch, Counts, Key
from superset_ext.monitor.log.histogram import pairs
from superset_ext.monitor.log.servers import Sampler, ServerSample, sample_servers
from superset_ext.settings import Settings

TABLE = "cache_performance_log"
# The end of the interval by the database's clock, so that hosts whose clocks differ agree and a batch that waited keeps
# its time; and whether its partition exists.
_MOMENT = """
SELECT at, (at AT TIME ZONE 'UTC')::date,
    to_regclass('superset_ext.cache_performance_log_' || to_char(at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
FROM (SELECT clock_timestamp() - make_interval(secs => %s) AS at) AS moment
"""
_CREATE = "SELECT superset_ext.create_day_partition(%s, %s)"
# Waits until the server has ended an earlier try of this batch, one way or the other.
_LOCK_BATCH = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))"
_WRITTEN = f"SELECT FROM superset_ext.{TABLE} WHERE batch = %s AND created_at >= %s - interval '1 hour' LIMIT 1"


def write(database: LogDatabase, settings: Settings, batch: Batch, sampler: Sampler | None) -> bool:
    """Write the rows of a batch; return whether a partition had to be made for them.

    If the connection is lost during the commit, the rows may be written. The batch is marked as in doubt then, and
    must be given again unchanged: the next try checks first.

    Raises:
        LogUnavailable: not written, or `batch.in_doubt`.
    """
    inserted = False
    try:
        with database.transaction() as cursor:
            cursor.execute(_LOCK_BATCH, (str(batch.batch),))
            moment, made = _moment(cursor, batch)
            if batch.in_doubt and _is_written(cursor, batch, moment):
                return made
            regions = {key.cache_type for key in batch.rows}
            samples = sample_servers(cursor, sampler, settings, regions) if sampler else {}
            _insert(cursor, batch, moment, samples)
            inserted = True
        return made
    except LogUnavailable:
        batch.in_doubt = batch.in_doubt or inserted
        raise


def _is_written(cursor: Any, batch: Batch, moment: datetime) -> bool:
    cursor.execute(_WRITTEN, (str(batch.batch), moment))
    return cursor.fetchone() is not None


def _moment(cursor: Any, batch: Batch) -> tuple[datetime, bool]:
    """The end of the interval, and whether the partition of its day had to be made."""
    cursor.execute(_MOMENT, (time.monotonic() - batch.ended,))
    moment, day, exists = cursor.fetchone()
    if exists:
        return moment, False
    cursor.execute(_CREATE, (TABLE, day))
    return moment, True


def _insert(cursor: Any, batch: Batch, moment: datetime, samples: Mapping[str, ServerSample]) -> None:
    from psycopg2.extras import execute_values  # absent where Superset runs on another database

    rows = list(_rows(batch, moment, samples))
    sql = f"INSERT INTO superset_ext.{TABLE} ({', '.join(rows[0])}) VALUES %s"  # noqa: S608  (only names of columns)
    execute_values(cursor, sql, [tuple(row.values()) for row in rows], page_size=1000)


def _rows(batch: Batch, moment: datetime, samples: Mapping[str, ServerSample]) -> Iterator[dict[str, Any]]:
    head = {
        "created_at": moment, "window_seconds": max(batch.ended - batch.started, 0.0), "host": socket.gethostname(),
        "pid": getpid(), "batch": str(batch.batch),
    }  # fmt: skip
    regions: set[str] = set()
    for key, counts in batch.rows.items():
        sample = samples.get(key.cache_type)
        # The first row of a region has the evictions of all its rows, so that their sum is right.
        evictions = sample.evictions if sample and key.cache_type not in regions else 0
        regions.add(key.cache_type)
        memory = sample.memory if sample else None
        yield {**head, **_key(key), **_numbers(counts), "memory_usage": memory, "evictions": evictions}


def _key(key: Key) -> dict[str, Any]:
    return {
        "cache_type": key.cache_type, "dataset_id": fitting_id(key.dataset_id), "chart_id": fitting_id(key.chart_id),
        "dashboard_id": fitting_id(key.dashboard_id), "channel": key.channel,
    }  # fmt: skip


def _numbers(counts: Counts) -> dict[str, Any]:
    misses, sets = counts.misses, counts.sets
    return {
        "cache_hits": counts.hits, "stale_hits": counts.stale, "coalesced": counts.coalesced,
        "cache_misses": sum(misses.values()), **{f"miss_{reason}": misses.get(reason, 0) for reason in Miss},
        "sets": sets.get(Stored.STORED, 0), "sets_too_large": sets.get(Stored.TOO_LARGE, 0),
        "sets_refused": sets.get(Stored.REFUSED, 0), "sets_memory": sets.get(Stored.MEMORY, 0),
        "sets_superseded": sets.get(Stored.SUPERSEDED, 0),
        "errors": sets.get(Stored.ERROR, 0) + misses.get(Miss.ERROR, 0),
        "bytes_read": counts.bytes_read, "bytes_written": counts.bytes_written,
        "response_count": sum(counts.hit_times.values()) + sum(counts.miss_times.values()),
        "response_ms_sum": counts.response_ms, "saved_ms": counts.saved_ms,
        "hit_histogram": pairs(counts.hit_times), "miss_histogram": pairs(counts.miss_times),
    }  # fmt: skip
