"""A transaction on a source, whose errors name the fix; whatever happens in it is undone if it does not end well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2

from superset_ext.aggregates.view import quoted
from superset_ext.core.driver_errors import first_line
from superset_ext.errors import AggregateError

LOCK_SECONDS = 3.0  # that a change of triggers or tables waits; writers and readers wait behind it
# Constants are written and read as text within it; and where rows are hidden from this role, that is an error.
_SETTINGS = """
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL row_security = off;
SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 1;
SET LOCAL client_min_messages = warning
"""
_REASONS = {
    "55P03": "the table was locked all the time; nothing was changed, so that nobody need wait; try again later",
    "53100": "the source's disk is full; nothing is left of what was made",
    "40001": "another run has refreshed it at the same time",
    "57014": "it was broken off; nothing is left of what was made",
}
_OF_VALUES = ("22", "23")  # whose messages repeat values of rows


class SourceRefused(AggregateError):
    """The source refused a statement.

    Attributes:
        sqlstate: PostgreSQL's code of it; empty where the connection was lost.
    """

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


@contextmanager
def transaction(
    connection: Any, path: Sequence[str] = (), lock_seconds: float = LOCK_SECONDS, base: str = ""
) -> Iterator[Any]:
    """A cursor in a transaction that sees one snapshot, on a psycopg2 connection.

    Args:
        path: schemas where names without one are looked up.
        base: a table that nobody may truncate, drop or write anew meanwhile. It is locked before the snapshot is taken.

    Raises:
        SourceRefused: the source refused something, or is lost; nothing was changed.
    """
    try:
        connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE")
            try:
                cursor.execute(f"{_SETTINGS}; SET LOCAL lock_timeout = {max(1, int(lock_seconds * 1000))}")
                cursor.execute(f"SET LOCAL search_path = {', '.join(map(quoted, path)) or 'pg_catalog'}")
                if base:
                    cursor.execute(f"LOCK TABLE {base} IN ACCESS SHARE MODE")
                yield cursor
            except BaseException:
                if not connection.closed:
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")
    except psycopg2.Error as error:
        raise explained(error) from None


def explained(error: psycopg2.Error) -> SourceRefused:
    """The driver's error as one line; no value of a row is in it."""
    if error.pgcode is None:
        return SourceRefused(f"the source was lost ({first_line(error)}); check that it runs", "")
    if error.pgcode[:2] in _OF_VALUES:
        return SourceRefused(f"a value of its base cannot be calculated with (SQLSTATE {error.pgcode})", error.pgcode)
    reason = _REASONS.get(error.pgcode) or (error.diag.message_primary or first_line(error)).strip()
    return SourceRefused(reason, error.pgcode)
