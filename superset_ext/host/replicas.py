"""Replicas of a PostgreSQL source: up to when the rows that they return have what was committed.

A change is told when the primary has it. What is read from a replica after that may be older, and must not be taken for
newer than the change.
"""

from __future__ import annotations

import time
from typing import Any

from superset_ext.core.signals import count_failure
from superset_ext.core.sql_folder import query_text
from superset_ext.settings import current

POSTGRESQL = "postgresql"
# Between the clocks of the primary and of Redis, and between a commit's time and its place among the others.
MARGIN_SECONDS = 1.0
_SAVEPOINT = "superset_ext"


def seen_until_us(cursor: Any) -> int | None:
    """Up to when a connection's rows have what was committed, in microseconds since 1970.

    `None` of a primary, 0 of a replica that does not tell. From PostgreSQL 14 on a server says by itself which of both
    it is, so that a primary is not asked. An older one, or a driver that keeps that to itself, counts as a primary.
    """
    connection = getattr(cursor, "connection", None)
    status = getattr(getattr(connection, "info", None), "parameter_status", lambda _name: None)
    if status("in_hot_standby") != "on":
        return None
    try:
        return _until_us(_replayed_until(connection))
    except Exception as error:  # noqa: BLE001  (whatever it is, the person's query goes on)
        count_failure("asking a PostgreSQL how far it has replayed", error)
        return 0


def _replayed_until(connection: Any) -> float | None:
    """In seconds since 1970, `None` where it is a replica that does not tell. The transaction is the person's."""
    cursor = connection.cursor()
    try:
        if connection.autocommit:  # there is no transaction that an error could spoil, and no savepoint either
            return _told(cursor)
        cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            return _told(cursor)
        except Exception:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            raise
    finally:
        cursor.close()


def _told(cursor: Any) -> float | None:
    cursor.execute(query_text("postgresql_replayed"))
    (until,) = cursor.fetchone()
    return None if until is None else float(until)


def _until_us(until: float | None) -> int:
    lag = current().replica_lag_seconds
    if until is not None:
        return int((until - MARGIN_SECONDS) * 1e6)
    return 0 if lag is None else int((time.time() - lag) * 1e6)
