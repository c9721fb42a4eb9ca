"""What is said of aggregates and the charts that they answer, from the log database."""

from __future__ import annotations

from typing import Any

from superset_ext.core.log_database import LogDatabase

_ROWS = """
SELECT aggregate, database_id, database, made_of, state, answered, saved_seconds, compared, differences, failures, rows,
    bytes, as_of, upkeep, refused, reasons
FROM superset_ext.perf_aggregate WHERE %(database_id)s::integer IS NULL OR database_id = %(database_id)s ORDER BY place
"""
_OFF = """
SELECT split_part(o.aggregate, '.', 1) AS aggregate, o.database_id, o.at, o.original, o.rewritten
FROM superset_ext.aggregate_switched_off AS o
JOIN superset_ext.aggregate_state AS s ON s.database_id = o.database_id AND s.edition = o.aggregate
WHERE %(database_id)s::integer IS NULL OR o.database_id = %(database_id)s ORDER BY o.at DESC
"""


def answering(database: LogDatabase, database_id: int | None = None) -> list[dict[str, Any]]:
    """Each aggregate as it was last looked at, with what it has answered; those of one database, or all.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    return database.rows(_ROWS, {"database_id": database_id})


def switched_off(database: LogDatabase, database_id: int | None = None) -> list[dict[str, Any]]:
    """The aggregates that gave other rows and were not built anew since, with both texts without values.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    return database.rows(_OFF, {"database_id": database_id})
