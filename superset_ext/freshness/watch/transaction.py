"""A transaction on a source, whose errors name the fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.errors import WatchError, WatchForbidden
from superset_ext.freshness.watch.watched import SCHEMA, quoted

_REFUSED, _LOCKED, _FORBIDDEN = "SXW01", "55P03", "42501"  # SQLSTATEs; the first one is our own


@contextmanager
def transaction(connection: Any) -> Iterator[Any]:
    """A cursor in a transaction of its own, on a psycopg2 connection.

    Raises:
        WatchError: the source refused something, or does not answer; nothing was changed.
    """
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                yield cursor
            except BaseException:
                if not connection.closed:
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")
    except psycopg2.Error as error:
        raise _explained(error, connection) from None


def _explained(error: psycopg2.Error, connection: Any) -> WatchError:
    """The driver's error as one line that names the fix; the driver never repeats a password."""
    reason = (error.diag.message_primary or first_line(error)).strip()
    if error.pgcode == _REFUSED:
        return WatchError(reason)
    if error.pgcode == _LOCKED:
        return WatchError(
            "the table was locked all the time, by a transaction or by an autovacuum; nothing was changed, so that "
            "writers need not wait; try again when that has ended"
        )
    if error.pgcode == _FORBIDDEN:
        return WatchForbidden(f"{reason}; {_grant(reason, connection)}")
    if error.pgcode is None:
        return WatchError(f"{reason}; check that the source database runs")
    return WatchError(reason)


def _grant(reason: str, connection: Any) -> str:
    role, database = quoted(connection.info.user), quoted(connection.info.dbname)
    if "permission denied for database" in reason:
        return f"let an owner run: GRANT CREATE ON DATABASE {database} TO {role}"
    return (
        f"if the schema {SCHEMA} is somebody else's, let them add and remove tables as sql/watch/01_schema.sql says, "
        f"and run: SELECT superset_ext_watch.allow('{role}')"
    )
