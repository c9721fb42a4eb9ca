"""Writes one batch of counts to `cache_performance_log`, in one transaction, exactly once."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from os import getpid
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.rows import fitting_id
from superset_ext.errors import LogUnavailable
from superset_ext.events import Miss, Stored
from superset_ext.monitor.log.counts import Batch, Counts, Key
from superset_ext.monitor.log.histogram import pairs
from superset_ext.monitor.log.sample import Sample, Sampler, sample
from superset_ext.settings import Settings

TABLE = "cache_performance_log"
_COLUMNS = (
    "created_at", "window_seconds", "host", "pid", "batch", *Key._fields, "cache_hits", "stale_hits",
    "coalesced", "cache_misses",
    *(f"miss_{reason}" for reason in Miss), "sets", "sets_too_large", "sets_refused", "sets_memory",
    "sets_superseded", "errors",
    "bytes_read", "bytes_written", "response_count", "response_ms_sum", "hit_histogram", "miss_histogram", "saved_ms",
    "memory_usage", "evictions",
)  # fmt: skip
_INSERT = f"INSERT INTO superset_ext.{TABLE} ({', '.join(_COLUMNS)}) VALUES %s"  # noqa: S608  (only names)
# The interval's end by the database's clock, so that hosts whose clocks differ agree, and a batch that
# waited keeps its time; and whether there is a partition for it.
_MOMENT = """
SELECT at, (at AT TIME ZONE 'UTC')::date,
    to_regclass('superset_ext.cache_performance_log_' || to_char(at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
FROM (SELECT clock_timestamp() - make_interval(secs => %s) AS at) AS moment
"""
_CREATE = "SELECT superset_ext.create_day_partition(%s, %s)"
# Waits until the server is done with an earlier try of this batch, whichever way that ended.
_LOCK_BATCH = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))"
_WRITTEN = f"SELECT FROM superset_ext.{TABLE} WHERE batch = %s AND created_at >= %s - interval '1 hour' LIMIT 1"


def write(database: LogDatabase, settings: Settings, batch: Batch, sampler: Sampler | None) -> bool:
    """Write the rows of `batch`; whether a partition had to be made for them.

    A connection lost while it commits leaves open whether the rows are there. The batch is marked then
    and must be given again as it is: the next try looks first.

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
            samples = sample(cursor, sampler, settings, regions) if sampler else {}
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
    """When the interval ended, and whether the partition of that day had to be made."""
    cursor.execute(_MOMENT, (time.monotonic() - batch.ended,))
    moment, day, there = cursor.fetchone()
    if there:
        return moment, False
    cursor.execute(_CREATE, (TABLE, day))
    return moment, True


def _insert(cursor: Any, batch: Batch, moment: datetime, samples: Mapping[str, Sample]) -> None:
    from psycopg2.extras import execute_values  # absent where Superset runs on another database

    window = max(batch.ended - batch.started, 0.0)
    head = (moment, window, socket.gethostname(), getpid(), str(batch.batch))
    execute_values(cursor, _INSERT, _values(head, batch.rows, samples), page_size=1000)


def _values(
    head: tuple[Any, ...], rows: Mapping[Key, Counts], samples: Mapping[str, Sample]
) -> Iterable[tuple[Any, ...]]:
    told: set[str] = set()
    for key, counts in rows.items():
        seen = samples.get(key.cache_type)
        # The first row of a region carries the evictions of all, so that their sum is right.
        evictions = seen.evictions if seen and key.cache_type not in told else 0
        told.add(key.cache_type)
        ids = (fitting_id(key.dataset_id), fitting_id(key.chart_id), fitting_id(key.dashboard_id))
        yield (*head, key.cache_type, *ids, key.channel, *_numbers(counts), seen.memory if seen else None, evictions)


def _numbers(counts: Counts) -> tuple[Any, ...]:
    misses, sets = counts.misses, counts.sets
    return (
        counts.hits, counts.stale, counts.coalesced, sum(misses.values()), *(misses.get(reason, 0) for reason in Miss),
        sets.get(Stored.STORED, 0), sets.get(Stored.TOO_LARGE, 0), sets.get(Stored.REFUSED, 0),
        sets.get(Stored.MEMORY, 0), sets.get(Stored.SUPERSEDED, 0),
        sets.get(Stored.ERROR, 0) + misses.get(Miss.ERROR, 0), counts.bytes_read, counts.bytes_written,
        sum(counts.hit_times.values()) + sum(counts.miss_times.values()), counts.response_ms,
        pairs(counts.hit_times), pairs(counts.miss_times), counts.saved_ms,
    )  # fmt: skip
