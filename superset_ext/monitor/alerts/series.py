"""The series that anomalies are found in: kept by five minutes in `performance_series`; each look adds what is new.

The figures of the last half an hour are made anew each time, since processes write theirs a little late.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from superset_ext.compat import UTC
from superset_ext.core.sql_folder import query_text
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
_OLD = "DELETE FROM superset_ext.performance_series WHERE at < %s"


def readings(cursor: Any, now: datetime) -> list[Reading]:
    """How unusual the last whole five minutes of each series are; nothing of those with too few requests.

    Raises:
        psycopg2.Error: within `LogDatabase.transaction`, which says what it means.
    """
    last = _begin(now - _SETTLED) - _BINS
    _fill(cursor, last)
    values = {"since": last - timedelta(days=DAYS), "until": last}
    cursor.execute(query_text("series_kept"), values)
    return [reading for row in cursor.fetchall() if (reading := _reading(last, *row))]


def _begin(moment: datetime) -> datetime:
    seconds = moment.timestamp()
    return datetime.fromtimestamp(seconds - seconds % BIN_SECONDS, UTC)


def _fill(cursor: Any, last: datetime) -> None:
    """Bring the series up to the five minutes that begin at `last`."""
    cursor.execute(_LAST)
    kept = cursor.fetchone()[0]
    since = max(last - _FIRST, kept - _LATE) if kept else last - _FIRST
    for name in ("series_of_charts", "series_of_databases"):
        cursor.execute(query_text(name), {"since": since, "until": last + _BINS})
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
