"""The series that anomalies are found in: kept by five minutes in `performance_series`; each look adds what is new.

The figures of the last half an hour are made anew each time, since processes write theirs a little late.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from superset_ext.compat import UTC
from superset_ext.monitor.alerts.anomaly import BIN_SECONDS, DAYS, Detector, Kind
from superset_ext.monitor.alerts.state import Reading

# Of the part before the colon: what the figures are, and what people call them.
_SERIES: Mapping[str, tuple[Kind, str]] = {
    "hit_ratio": ("ratio", "hit ratio of charts"),
    "response_ms": ("mean", "response time of charts"),
    "requests": ("count", "requests for charts in five minutes"),
    "errors": ("errors", "share of cache errors of charts"),
    "query_ms": ("mean", "duration of queries to database {name}"),
    "query_errors": ("errors", "share of failed chart queries to database {name}"),
}
_BINS = timedelta(seconds=BIN_SECONDS)
_SETTLED = timedelta(seconds=20)  # after which the figures of five minutes are nearly whole
_LATE = timedelta(minutes=30)
_FIRST = timedelta(days=2)  # of the log that is read where nothing is kept yet
_LAST = "SELECT max(at) FROM superset_ext.performance_series"
_BIN = "date_bin('5 minutes', created_at, '2000-01-01 00:00:00+00')"
_PUT = """
ON CONFLICT (series, at) DO UPDATE SET value = excluded.value, events = excluded.events
    WHERE (performance_series.value, performance_series.events) IS DISTINCT FROM (excluded.value, excluded.events)
"""
_CHARTS = f"""
INSERT INTO superset_ext.performance_series (series, at, value, events)
SELECT s.series, log.at, s.value, s.events
FROM (
    SELECT {_BIN} AS at, sum(cache_hits) AS hits, sum(cache_hits + cache_misses)::float8 AS asked,
        sum(cache_hits + cache_misses - miss_cold)::float8 AS repeated,
        sum(errors) AS errors, sum(response_ms_sum) AS ms, sum(response_count)::float8 AS answered
    FROM superset_ext.cache_performance_log
    WHERE cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm'
        AND created_at >= %(since)s AND created_at < %(until)s
    GROUP BY 1
) AS log
CROSS JOIN LATERAL (VALUES
    ('hit_ratio', log.hits / nullif(log.repeated, 0), log.repeated),
    ('response_ms', log.ms / nullif(log.answered, 0), log.answered),
    ('requests', nullif(log.asked, 0), log.asked),
    ('errors', least(log.errors / nullif(log.asked, 0), 1), log.asked)
) AS s (series, value, events)
WHERE s.value IS NOT NULL
{_PUT}
"""  # noqa: S608  (no value comes from outside)
# The geometric mean, which one query of an hour does not move.
_QUERIES = f"""
INSERT INTO superset_ext.performance_series (series, at, value, events)
SELECT s.series || ':' || log.id, log.at, s.value, s.events
FROM (
    SELECT coalesce(database_id, 0) AS id, {_BIN} AS at,
        exp(avg(ln(greatest(duration_ms, 0.001))) FILTER (WHERE error IS NULL)) AS ms,
        count(*) FILTER (WHERE error IS NULL) AS succeeded, count(*) FILTER (WHERE source = 'chart') AS charts,
        count(*) FILTER (WHERE source = 'chart' AND error IS NOT NULL) AS failed
    FROM superset_ext.query_performance_log
    WHERE channel IS DISTINCT FROM 'warm' AND created_at >= %(since)s AND created_at < %(until)s
    GROUP BY 1, 2
) AS log
CROSS JOIN LATERAL (VALUES
    ('query_ms', log.ms, log.succeeded), ('query_errors', log.failed::float8 / nullif(log.charts, 0), log.charts)
) AS s (series, value, events)
WHERE s.value IS NOT NULL
{_PUT}
"""  # noqa: S608  (no value comes from outside)
_OLD = "DELETE FROM superset_ext.performance_series WHERE at < %s"
_KEPT = """
SELECT series, array_agg(extract(epoch FROM at)::bigint), array_agg(value), array_agg(events), n.name
FROM superset_ext.performance_series
LEFT JOIN superset_ext.object_name n ON n.kind = 'database' AND n.id::text = split_part(series, ':', 2)
WHERE at > %s AND at <= %s GROUP BY series, n.name
"""


def readings(cursor: Any, now: datetime) -> list[Reading]:
    """How unusual the last whole five minutes of each series are; nothing of those with too few requests.

    Raises:
        psycopg2.Error: within `LogDatabase.transaction`, which says what it means.
    """
    last = _begin(now - _SETTLED) - _BINS
    _fill(cursor, last)
    cursor.execute(_KEPT, (last - timedelta(days=DAYS), last))
    return [reading for row in cursor.fetchall() if (reading := _reading(last, *row))]


def _begin(moment: datetime) -> datetime:
    seconds = moment.timestamp()
    return datetime.fromtimestamp(seconds - seconds % BIN_SECONDS, UTC)


def _fill(cursor: Any, last: datetime) -> None:
    """Bring the series up to the five minutes that begin at `last`."""
    cursor.execute(_LAST)
    kept = cursor.fetchone()[0]
    since = max(last - _FIRST, kept - _LATE) if kept else last - _FIRST
    for sql in (_CHARTS, _QUERIES):
        cursor.execute(sql, {"since": since, "until": last + _BINS})
    cursor.execute(_OLD, (last - timedelta(days=DAYS),))


def _reading(
    last: datetime, series: str, at: list[int], values: list[float], events: list[int], name: str | None
) -> Reading | None:
    part, _, number = series.partition(":")
    kind, label = _SERIES[part]
    places = (np.array(at) - int(last.timestamp())) // BIN_SECONDS
    length = 1 - int(places.min())
    # No row means no request: of a number that is 0, of all else there is no figure.
    figures, of = np.full(length, 0.0 if kind == "count" else np.nan), np.zeros(length)
    figures[places - 1], of[places - 1] = values, events
    seen = Detector(kind, figures, of).verdicts(length - 1)[0]
    if seen is None:
        return None
    shown = label.format(name=name or f"#{number}")
    return Reading(series, seen.value, int(seen.events), shown, round(seen.confidence, 4), seen.usual)
