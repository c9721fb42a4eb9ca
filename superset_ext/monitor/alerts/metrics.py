"""What rules measure: one small query each, over the raw log and the samples, by subject.

Warming's own requests and queries are left out, as on the dashboards, except from cache errors. What is done by a rule
that watches what people wait for is one query of its window; the log's index on `created_at` keeps it small.

What is asked for the first time has to miss and has to run its query, on a new install all of it. So neither cold
misses nor the queries of a statement's first quarter of an hour say that something is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from superset_ext.monitor.alerts.rules import AlertRule, MetricType
from superset_ext.monitor.alerts.series import readings
from superset_ext.monitor.alerts.state import Reading

Unit = Literal["share", "times", "minutes", "anomaly"]
# The requests of each region in the window.
_REGIONS = """
SELECT cache_type, cache_type, {value}, {occurrences} FROM superset_ext.cache_performance_log
WHERE created_at > %(now)s - %(window)s AND created_at <= %(now)s {channel} GROUP BY cache_type
"""
_NOT_WARM = "AND channel IS DISTINCT FROM 'warm'"
_REQUESTS = "nullif(sum(cache_hits + cache_misses), 0)"
_REPEATED = "nullif(sum(cache_hits + cache_misses - miss_cold), 0)"
# A statement is new for as long as its first answers are fresh by default; one without a text is never new.
_KNOWN = """NOT EXISTS (
    SELECT FROM superset_ext.query_fingerprint AS f
    WHERE f.fingerprint = log.fingerprint AND log.created_at < f.first_seen + interval '15 minutes'
)"""
_WRITES = "sets + sets_too_large + sets_refused + sets_memory + sets_superseded + errors - miss_error"
# The queries of each source database in the window.
_QUERIES = """
SELECT 'database:' || q.id, coalesce(n.name, '#' || q.id), bad::float8 / runs, bad
FROM (
    SELECT coalesce(database_id, 0) AS id, count(*) AS runs, count(*) FILTER (WHERE {bad}) AS bad
    FROM superset_ext.query_performance_log AS log
    WHERE created_at > %(now)s - %(window)s AND created_at <= %(now)s AND channel IS DISTINCT FROM 'warm' AND {which}
    GROUP BY 1
) AS q LEFT JOIN superset_ext.object_name n ON n.kind = 'database' AND n.id = q.id
"""
# Of the windows of the day before only those count in which anybody asked: nights would make every morning a spike.
_SPIKE = f"""
SELECT 'database:' || q.id, coalesce(n.name, '#' || q.id), recent / greatest(earlier::float8 / windows, 1), recent
FROM (
    SELECT id, coalesce(sum(slow) FILTER (WHERE ago = 0), 0) AS recent,
        coalesce(sum(slow) FILTER (WHERE ago > 0), 0) AS earlier, count(*) FILTER (WHERE ago > 0) AS windows
    FROM (
        SELECT coalesce(database_id, 0) AS id, count(*) FILTER (WHERE duration_ms >= %(slow_ms)s) AS slow,
            floor(extract(epoch FROM %(now)s - created_at) / extract(epoch FROM %(window)s)) AS ago
        FROM superset_ext.query_performance_log AS log
        WHERE created_at > %(now)s - interval '1 day' - %(window)s AND created_at <= %(now)s
            AND channel IS DISTINCT FROM 'warm' AND {_KNOWN}
        GROUP BY 1, 3
    ) AS by_window
    GROUP BY id
) AS q LEFT JOIN superset_ext.object_name n ON n.kind = 'database' AND n.id = q.id
WHERE windows >= 4
"""  # noqa: S608  (no value comes from outside)
# Regions of one server say the same: one alert a server.
_MEMORY = """
SELECT server, server, percentile_cont(0.5) WITHIN GROUP (ORDER BY server_memory::float8 / maxmemory),
    count(DISTINCT at)
FROM superset_ext.cache_sample
WHERE at > %(now)s - %(window)s AND at <= %(now)s AND maxmemory > 0 AND server_memory IS NOT NULL GROUP BY server
"""
_VIEWS = """
SELECT view, view, extract(epoch FROM %(now)s - coalesce(refreshed_at, failed_since))::float8 / 60, 1
FROM superset_ext.view_refresh WHERE coalesce(refreshed_at, failed_since) IS NOT NULL
"""
_FAILED = """
SELECT schedule, schedule, CASE WHEN state = 'failed' THEN 1 ELSE coalesce(failed::float8 / nullif(items, 0), 0) END,
    CASE WHEN state = 'failed' THEN greatest(failed, 1) ELSE failed END
FROM (
    SELECT DISTINCT ON (schedule) run_id, schedule, state, fresh FROM superset_ext.cache_warm_run
    WHERE schedule = ANY(%(schedules)s) AND finished_at > %(now)s - %(window)s AND finished_at <= %(now)s
    ORDER BY schedule, finished_at DESC
) AS last
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE i.state = 'failed') AS failed, count(*) + last.fresh AS items
    FROM superset_ext.cache_warm_item i WHERE i.run_id = last.run_id
) AS done
"""
_READ = """
SELECT schedule, schedule, sum(entries_read)::float8 / sum(entries), count(*) FILTER (WHERE settled)
FROM superset_ext.cache_warm_run
WHERE schedule = ANY(%(schedules)s) AND created_at > %(now)s - %(window)s AND created_at <= %(now)s AND entries > 0
GROUP BY schedule
"""


def _regions(value: str, occurrences: str, channel: str = _NOT_WARM) -> str:
    return _REGIONS.format(value=value, occurrences=occurrences, channel=channel)


def _queries(bad: str, which: str) -> str:
    return _QUERIES.format(bad=bad, which=which)


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that rules may watch.

    Attributes:
        what: what the value is, with `{label}` for the subject.
        unit: of the value and of a rule's threshold.
        counted: what `min_occurrences` counts.
        sql: gives subject, label, value and occurrences; `None` where it is no query.
    """

    what: str
    unit: Unit
    counted: str
    sql: str | None


METRICS: Mapping[MetricType, Metric] = {
    "hit_ratio": Metric(
        "hit ratio of {label}",
        "share",
        "misses",
        _regions(f"sum(cache_hits) / {_REPEATED}", "sum(cache_misses - miss_cold)"),
    ),
    "invalidation_share": Metric(
        "share of the requests to {label} whose answers changes had dropped",
        "share",
        "of them",
        _regions(f"sum(miss_invalidated) / {_REQUESTS}", "sum(miss_invalidated)"),
    ),
    "memory_share": Metric("share of its memory that the cache server {label} uses", "share", "samples", _MEMORY),
    "slow_query_share": Metric(
        "share of slow queries to database {label}",
        "share",
        "of them",
        _queries("duration_ms >= %(slow_ms)s", _KNOWN),
    ),
    "slow_query_spike": Metric("number of slow queries to database {label}", "times", "of them", _SPIKE),
    "cache_error_share": Metric(
        "share of failed reads and writes of {label}",
        "share",
        "of them",
        _regions(f"sum(errors) / nullif(sum(cache_hits + cache_misses + {_WRITES}), 0)", "sum(errors)", ""),
    ),
    # People try things in SQL Lab: an error there is theirs.
    "query_error_share": Metric(
        "share of failed chart queries to database {label}",
        "share",
        "of them",
        _queries("error IS NOT NULL", "source = 'chart'"),
    ),
    "view_age": Metric("age of the figures in {label}", "minutes", "", _VIEWS),
    "warm_failures": Metric("share of failed items in the last run of schedule {label}", "share", "of them", _FAILED),
    "warm_read_ratio": Metric(
        "share of the entries that schedule {label} warmed and people read", "share", "runs", _READ
    ),
    "anomaly": Metric("{label}", "anomaly", "requests", None),
}


@dataclass(frozen=True, slots=True)
class Context:
    """What metrics are measured with.

    Attributes:
        now: until when.
        slow_ms: milliseconds from which on a query is slow.
        schedules: names of the warming schedules that there are.
    """

    now: datetime
    slow_ms: float
    schedules: Sequence[str]


def measure(cursor: Any, rule: AlertRule, context: Context) -> list[Reading]:
    """What a rule's metric says of each subject that it watches; nothing of those without any request.

    Raises:
        psycopg2.Error: within `LogDatabase.transaction`, which says what it means.
    """
    sql = METRICS[rule.metric_type].sql
    every_reading = readings(cursor, context.now) if sql is None else _asked(cursor, sql, rule, context)
    return [reading for reading in every_reading if rule.subject in (None, reading.subject)]


def _asked(cursor: Any, sql: str, rule: AlertRule, context: Context) -> list[Reading]:
    values = {
        "now": context.now, "window": f"{rule.window_minutes} minutes", "slow_ms": context.slow_ms,
        "schedules": list(context.schedules),
    }  # fmt: skip
    cursor.execute(sql.replace("%(now)s", "%(now)s::timestamptz").replace("%(window)s", "%(window)s::interval"), values)
    return [
        Reading(subject, float(value), int(occurrences), label)
        for subject, label, value, occurrences in cursor.fetchall()
        if value is not None
    ]
