"""Rolls up the logs by hour and by day; `sql/schema/08_rolling_up.sql` does the work."""

from __future__ import annotations

from dataclasses import dataclass

from superset_ext.core.log_database import LogDatabase

# The first roll-up has all that a log holds; later ones have what came within a minute.
ROLL_UP_SECONDS = 3600.0
_ROLL_UP = "SELECT superset_ext.roll_up(%s, %s)"


@dataclass(frozen=True, slots=True)
class RolledUp:
    """How many rows were rolled up.

    Attributes:
        cache: rows of `cache_performance_log`.
        query: rows of `query_performance_log`.
    """

    cache: int
    query: int


def roll_up(database: LogDatabase, slow_ms: float) -> RolledUp:
    """Add the new rows of both logs to their rollups, each row exactly once; return how many there were.

    Each log has a transaction of its own. Any number of processes may do this at once, and one that is killed leaves
    nothing half done.

    Args:
        slow_ms: milliseconds from which a query counts as slow.
    """
    return RolledUp(_rows(database, "cache", slow_ms), _rows(database, "query", slow_ms))


def _rows(database: LogDatabase, log: str, slow_ms: float) -> int:
    with database.transaction(ROLL_UP_SECONDS) as cursor:
        cursor.execute(_ROLL_UP, (log, slow_ms))
        return int(cursor.fetchone()[0])
