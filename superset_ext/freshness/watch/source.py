"""Connections to the databases of Superset that can be watched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.errors import WatchError
from superset_ext.host.databases import database_of, database_typed, detached


@contextmanager
def connect(app: Any, database_id: int) -> Iterator[Any]:
    """A psycopg2 connection to one of Superset's databases, through its tunnel if it has one. It is closed at the end.

    Raises:
        UnknownDatabase: there is no such database.
        WatchError: it is not PostgreSQL, its secrets cannot be decrypted, or it does not answer.
    """
    with app.app_context(), ExitStack() as stack:
        database = watchable(database_id)
        name = database.database_name
        try:
            connection = stack.enter_context(_connection(database))
        except Exception as error:  # noqa: BLE001  (a tunnel or a driver raises what it likes)
            raise WatchError(f"the database {name!r} cannot be connected to: {first_line(error)}") from None
        if not isinstance(connection, psycopg2.extensions.connection):
            raise WatchError(f"the URI of the database {name!r} names another driver than psycopg2")
        yield connection


@contextmanager
def _connection(database: Any) -> Iterator[Any]:
    with detached(database).get_sqla_engine() as engine:
        pooled = engine.raw_connection()
        try:
            yield pooled.dbapi_connection
        finally:
            pooled.invalidate()  # closed, and not rolled back first: it may be lost


def watchable(named: int | str) -> Any:
    """Superset's database of this id, or of the name or id that somebody has typed. Needs an app context.

    Raises:
        UnknownDatabase: there is none.
        WatchError: it is not PostgreSQL, or its secrets cannot be decrypted.
    """
    try:
        database = database_typed(named) if isinstance(named, str) else database_of(named)
    except ValueError:  # as Superset's encrypted columns say it
        reason = "were written with another SECRET_KEY; set that one, or run: superset re-encrypt-secrets"
        raise WatchError(f"the secrets of the database {named!r} {reason}") from None
    if database.db_engine_spec.engine != "postgresql":
        raise WatchError(
            f"the database {database.database_name!r} is {database.db_engine_spec.engine}, and only PostgreSQL can be "
            "watched; probe it instead"
        )
    return database
