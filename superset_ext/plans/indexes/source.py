"""One transaction of a source that may only read, waits for nobody, and has an end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.errors import AdviceError
from superset_ext.freshness.watch.source import connect
from superset_ext.host.databases import database_typed

_STATEMENT_SECONDS = 30
_LOCK_SECONDS = 1
_IDLE_SECONDS = 120  # between two round trips; then the source ends it, should this process stand still
_LIMITS = (
    f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'; SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'"
)


def source_of(named: str, what: str = "indexes are advised") -> tuple[int, str]:
    """The id and name of the database of Superset that somebody has typed. Needs an app context.

    Args:
        what: is done for PostgreSQL alone.

    Raises:
        UnknownDatabase: there is none.
        AdviceError: it is not PostgreSQL.
    """
    database = database_typed(named)
    engine, name = database.db_engine_spec.engine, str(database.database_name)
    if engine != "postgresql":
        raise AdviceError(f"{what} for PostgreSQL alone; the database {name!r} is {engine}")
    return int(database.id), name


@contextmanager
def reading(app: Any, database_id: int) -> Iterator[Any]:
    """A cursor within a transaction that may only read, on one connection for as long as the block lasts.

    Raises:
        AdviceError: the source does not answer, refuses, or takes too long.
        WatchError: it cannot be connected to.
    """
    with connect(app, database_id) as connection:
        try:
            with only_reading(connection) as cursor:
                yield cursor
        except psycopg2.Error as error:
            raise AdviceError(f"the source cannot be asked: {first_line(error)}; nothing was changed on it") from None


@contextmanager
def only_reading(connection: Any) -> Iterator[Any]:
    """A cursor of a connection, likewise; the transaction is rolled back at the end."""
    connection.rollback()
    connection.set_session(readonly=True, autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_LIMITS)
            yield cursor
    finally:
        if not connection.closed:
            connection.rollback()
