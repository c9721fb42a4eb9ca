"""Folds the raw logs into their hourly and daily rollups; `sql/schema/12_fold.sql` does the work."""

from __future__ import annotations

from dataclasses import dataclass

from superset_ext.core.log_database import LogDatabase

# The first fold has all that a log holds before it; the others take what a minute brought.
FOLD_SECONDS = 3600.0
_CACHE = "SELECT superset_ext.fold_cache()"
_QUERY = "SELECT superset_ext.fold_query(%s)"


@dataclass(frozen=True, slots=True)
class Folded:
    """How many rows were folded.

    Attributes:
        cache: rows of `cache_performance_log`.
        query: rows of `query_performance_log`.
    """

    cache: int
    query: int


def fold(database: LogDatabase, slow_ms: float) -> Folded:
    """Add to the rollups what the logs have got since the last time, each row exactly once.

    Any number of processes may do so at once, and one that is killed leaves nothing half done.

    Args:
        slow_ms: milliseconds from which a query counts as slow.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`; nothing of the log that was at it is folded then.
    """
    return Folded(_rows(database, _CACHE, ()), _rows(database, _QUERY, (slow_ms,)))


def _rows(database: LogDatabase, sql: str, parameters: tuple[float, ...]) -> int:
    with database.transaction(FOLD_SECONDS) as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.fetchone()[0])
