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

from superset_ext.core.sql_folder import query_text
from superset_ext.monitor.alerts.rules import AlertRule, MetricType
from superset_ext.monitor.alerts.series import readings
from superset_ext.monitor.alerts.state import Reading

Unit = Literal["share", "times", "factor", "count", "minutes", "anomaly"]


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that rules may watch.

    Attributes:
        what: what the value is, with `{label}` for the subject.
        unit: of the value and of a rule's threshold.
        counted: what `min_occurrences` counts.
        query: the file of `sql/queries/` that gives subject, label, value and occurrences; `None` where it is no query.
    """

    what: str
    unit: Unit
    counted: str
    query: str | None


METRICS: Mapping[MetricType, Metric] = {
    "hit_ratio": Metric("hit ratio of {label}", "share", "misses", "alert_hit_ratio_by_region"),
    "invalidation_share": Metric(
        "share of the requests to {label} whose answers changes had dropped", "share", "of them",
        "alert_invalidation_share_by_region",
    ),
    "memory_share": Metric(
        "share of its memory that the cache server {label} uses", "share", "samples", "alert_memory_share_by_server"
    ),
    "slow_query_share": Metric(
        "share of slow queries to database {label}", "share", "of them", "alert_slow_query_share_by_database"
    ),
    "slow_query_spike": Metric(
        "number of slow queries to database {label}", "times", "of them", "alert_slow_query_spike_by_database"
    ),
    "cache_error_share": Metric(
        "share of failed reads and writes of {label}", "share", "of them", "alert_cache_error_share_by_region"
    ),
    "query_error_share": Metric(
        "share of failed chart queries to database {label}", "share", "of them", "alert_query_error_share_by_database"
    ),
    "view_age": Metric("age of the figures in {label}", "minutes", "", "alert_view_age"),
    "warm_failures": Metric(
        "share of failed items in the last run of schedule {label}", "share", "of them",
        "alert_failed_share_of_last_run",
    ),
    "warm_read_ratio": Metric(
        "share of the entries that schedule {label} warmed and people read", "share", "runs",
        "alert_read_share_by_schedule",
    ),
    "lock_wait": Metric(
        "longest wait for a lock of database {label}", "minutes", "samples", "alert_lock_wait_by_database"
    ),
    "statistics_stale": Metric(
        "number of tables of database {label} whose statistics are missing or old", "count", "",
        "alert_statistics_stale_by_database",
    ),
    "index_bloat": Metric(
        "size of the most bloated index of database {label}, beside what its entries need", "factor", "",
        "alert_index_bloat_by_database",
    ),
    "plan_slower": Metric(
        "time of a statement to database {label} since its plan changed, beside before", "factor", "such plans",
        "alert_plan_slower_by_database",
    ),
    "rewrite_difference": Metric(
        "number of rewrites that gave other rows for charts on {label}, and are switched off there", "count", "",
        "alert_rewrite_difference_by_dataset",
    ),
    "aggregate_difference": Metric(
        "number of aggregates of database {label} that gave other rows for charts, and are switched off", "count", "",
        "alert_aggregate_difference_by_database",
    ),
    "anomaly": Metric("{label}", "anomaly", "requests", None),
}  # fmt: skip


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
        SchemaError: the query's file is missing.
        psycopg2.Error: within `LogDatabase.transaction`, which says what it means.
    """
    query = METRICS[rule.metric_type].query
    every_reading = readings(cursor, context.now) if query is None else _asked(cursor, query, rule, context)
    return [reading for reading in every_reading if rule.subject in (None, reading.subject)]


def _asked(cursor: Any, query: str, rule: AlertRule, context: Context) -> list[Reading]:
    values = {
        "now": context.now, "window": f"{rule.window_minutes} minutes", "slow_ms": context.slow_ms,
        "schedules": list(context.schedules),
    }  # fmt: skip
    cursor.execute(query_text(query), values)
    return [
        Reading(subject, float(value), int(occurrences), label)
        for subject, label, value, occurrences in cursor.fetchall()
        if value is not None
    ]
