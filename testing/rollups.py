"""Raw rows for the rollups, and what rollups and views should say of them, computed here row by row."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Miss
from superset_ext.monitor.log.histogram import bucket, pairs
from superset_ext.monitor.rollup.views import apply_views

Row = dict[str, Any]
REASONS = tuple(f"miss_{reason}" for reason in Miss)
SETS = ("sets", "sets_too_large", "sets_refused", "sets_memory", "sets_superseded")
# The names of the log, by those of the rollups.
RENAMED = {"hits": "cache_hits", "misses": "cache_misses"}
SUMMED = (
    "hits", "stale_hits", "coalesced", "misses", *REASONS, *SETS, "errors", "bytes_read", "bytes_written",
    "response_count", "response_ms_sum", "saved_ms", "evictions",
)  # fmt: skip
HISTOGRAMS = ("hit_histogram", "miss_histogram")
KEY = ("cache_type", "dashboard_id", "chart_id", "dataset_id", "channel")
QUERY_KEY = ("source", "channel", "database_id", "dataset_id", "chart_id", "dashboard_id")
QUERY_SUMMED = ("runs", "errors", "slow", "rows", "duration_ms_sum")
SLOW_MS = 1000.0


def made(database: LogDatabase, days: Iterable[int] = range(60)) -> LogDatabase:
    """The schema with its views and the partitions of these days before today, and of tomorrow, which may begin."""
    database.apply_schema()
    apply_views(database)
    with database.transaction(60.0) as cursor:
        cursor.execute(
            "SELECT superset_ext.create_day_partition(log, superset_ext.utc_today() - ago)"
            " FROM unnest(%s) AS log CROSS JOIN unnest(%s) AS ago",
            (["cache_performance_log", "query_performance_log"], [-1, *days]),
        )
    return database


def cache_row(rng: random.Random, at: datetime, **fixed: Any) -> Row:
    """A row as the recorder writes it; `hit_times` and `miss_times` have its times one by one, in milliseconds."""
    hits = [rng.uniform(0.2, 20) for _ in range(rng.randrange(4))]
    misses = [rng.uniform(20, 5000) for _ in range(rng.randrange(3))]
    row: Row = {
        "created_at": at, "cache_type": rng.choice(["chart_data", "chart_data", "metadata"]),
        "dataset_id": rng.choice([None, 1, 2]), "chart_id": rng.choice([None, 3, 4]),
        "dashboard_id": rng.choice([None, 5, 6]), "channel": rng.choice([None, "web", "web", "report", "warm"]),
        "cache_hits": len(hits), "stale_hits": rng.randrange(2), "coalesced": rng.randrange(2),
        "evictions": rng.choice([0, 0, 7]), "memory_usage": rng.choice([None, rng.randrange(10**9)]),
        "saved_ms": rng.uniform(0, 900), "errors": rng.randrange(2), "bytes_read": rng.randrange(10**6),
        "bytes_written": rng.randrange(10**6), "hit_times": hits, "miss_times": misses,
    }  # fmt: skip
    row |= {name: rng.randrange(3) for name in (*REASONS, *SETS)}
    return _counted(row | fixed)


def _counted(row: Row) -> Row:
    hits, misses = row.pop("hit_times"), row.pop("miss_times")
    return row | {
        "cache_misses": sum(row[name] for name in REASONS),
        "response_count": len(hits) + len(misses),
        "response_ms_sum": sum(hits) + sum(misses),
        "hit_histogram": pairs(Counter(bucket(ms) for ms in hits)),
        "miss_histogram": pairs(Counter(bucket(ms) for ms in misses)),
        "_hit_times": hits,
        "_miss_times": misses,
    }


def query_row(rng: random.Random, at: datetime, **fixed: Any) -> Row:
    """A row of the log of queries."""
    row: Row = {
        "created_at": at, "host": "h", "pid": 1, "source": rng.choice(["chart", "sqllab"]),
        "channel": rng.choice([None, "web", "warm"]), "database_id": rng.choice([None, 7, 8]),
        "dataset_id": rng.choice([None, 1, 2]), "chart_id": rng.choice([None, 3, 4]),
        "dashboard_id": rng.choice([None, 5, 6]), "user_id": 1, "fingerprint": rng.choice([None, "f1", "f2"]),
        "duration_ms": rng.choice([rng.uniform(1, 5000), SLOW_MS]), "rows": rng.choice([None, rng.randrange(1000)]),
        "error": rng.choice([None, None, "OperationalError"]),
    }  # fmt: skip
    return row | fixed


def insert(cursor: Any, rows: Sequence[Row], table: str = "cache_performance_log") -> None:
    """Write rows of one kind."""
    if table == "cache_performance_log":
        rows = [
            {"window_seconds": 5.0, "host": "h", "pid": 1, "batch": "00000000-0000-0000-0000-000000000000"} | row
            for row in rows
        ]
    if rows:
        names = [name for name in rows[0] if not name.startswith("_")]
        values = [[row[name] for name in names] for row in rows]
        execute_values(cursor, f"INSERT INTO superset_ext.{table} ({', '.join(names)}) VALUES %s", values)


def write(url: str, rows: Sequence[Row], table: str = "cache_performance_log") -> None:
    """Write rows in a transaction of their own."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        insert(cursor, rows, table)
    connection.close()


def hour_of(row: Row) -> datetime:
    at: datetime = row["created_at"]
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(row: Row) -> Any:
    return row["created_at"].astimezone(UTC).date()


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def key_of(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    """The row's key as the rollups have it: 0 for no id, empty for no text."""
    return tuple(row[name] or (0 if name.endswith("_id") else "") for name in names)


def merged(histograms: Iterable[Sequence[int] | None]) -> list[int] | None:
    counts: Counter[int] = Counter()
    for histogram in histograms:
        counts.update(dict(zip((histogram or [])[::2], (histogram or [])[1::2], strict=True)))
    return pairs(counts)


def rolled(rows: Iterable[Row], when: Callable[[Row], Any]) -> dict[Any, Row]:
    """What the rollup of the caches should have, by its key."""
    rollup = {}
    for key, group in grouped(rows, lambda row: (when(row), *key_of(row, KEY))).items():
        sums: Row = {name: sum(row[RENAMED.get(name, name)] for row in group) for name in SUMMED}
        seen = [row["memory_usage"] for row in group if row["memory_usage"] is not None]
        rollup[key] = sums | {name: merged(row[name] for row in group) for name in HISTOGRAMS}
        rollup[key]["memory_peak"] = max(seen, default=None)
    return rollup


def rolled_queries(rows: Iterable[Row], when: Callable[[Row], Any], names: Sequence[str]) -> dict[Any, Row]:
    """What a rollup of the queries should have, by its key."""
    groups = grouped(rows, lambda row: (when(row), *key_of(row, names)))
    return {key: query_sums(group) for key, group in groups.items()}


def query_sums(group: Sequence[Row]) -> Row:
    times = [row["duration_ms"] for row in group]
    return {
        "runs": len(group),
        "errors": sum(row["error"] is not None for row in group),
        "slow": sum(ms >= SLOW_MS for ms in times),
        "rows": sum(row["rows"] or 0 for row in group),
        "duration_ms_sum": sum(times),
        "duration_ms_max": max(times),
        "histogram": pairs(Counter(bucket(ms) for ms in times)),
    }


def stored(database: LogDatabase, table: str, names: Sequence[str]) -> dict[Any, Row]:
    """A rollup as it is, by its key."""
    return {tuple(row.pop(name) for name in names): row for row in database.rows(f"SELECT * FROM {table}")}


def close_to(actual: Mapping[Any, Row], expected: Mapping[Any, Row]) -> None:
    """Both have the same keys and numbers; sums of floating point may differ in the last digits."""
    assert sorted(actual, key=str) == sorted(expected, key=str)
    for key, row in expected.items():
        assert sorted(actual[key]) == sorted(row), key
        for name, value in row.items():
            assert same(actual[key][name], value), (key, name, actual[key][name], value)


def same(actual: Any, expected: Any) -> bool:
    if isinstance(expected, float) and actual is not None:
        return bool(abs(float(actual) - expected) <= 1e-9 * max(1.0, abs(expected)))
    return bool(actual == expected)


def rollups_equal(database: LogDatabase, rows: Sequence[Row]) -> None:
    """The rollups of the caches are what these rows, and no others, make."""
    close_to(stored(database, "cache_hourly", ("hour", *KEY)), rolled(rows, hour_of))
    close_to(stored(database, "cache_daily", ("day", *KEY)), rolled(rows, day_of))


def query_rollups_equal(database: LogDatabase, rows: Sequence[Row]) -> None:
    """The rollups of the queries are what these rows, and no others, make."""
    close_to(stored(database, "query_hourly", ("hour", *QUERY_KEY)), rolled_queries(rows, hour_of, QUERY_KEY))
    daily = ("fingerprint", "database_id", "dataset_id", "chart_id", "dashboard_id")
    close_to(stored(database, "query_daily", ("day", *daily)), rolled_queries(rows, day_of, daily))


def ago(**much: float) -> datetime:
    return datetime.now(UTC) - timedelta(**much)
