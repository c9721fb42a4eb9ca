"""A look at the triggers on the metadata database, by a connection that Superset reads by."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from superset_ext.core.driver_errors import first_line
from superset_ext.errors import Unanswerable
from superset_ext.grants import triggers

# Asked first: a replica refuses what a look does next, in words that do not say why.
_IS_REPLICA = "SELECT pg_is_in_recovery()"


def looked(engine: Engine, tables: Callable[[], list[str]]) -> str:
    """What names the triggers that are there.

    A server or a pooler may have closed the connection while nobody used it; then another one is asked, as the first
    look after a restart should be no vain one: the next comes after a minute.

    Raises:
        Unanswerable: they are not all there, or it is a replica.
        SQLAlchemyError: the database refused, or does not answer.
    """
    try:
        return _looked(engine, tables)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return _looked(engine, tables)


def _looked(engine: Engine, tables: Callable[[], list[str]]) -> str:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.exec_driver_sql(_IS_REPLICA).scalar():
            raise Unanswerable("Superset reads a replica of its metadata database")
        return triggers.anchor(connection, tables)


def why(error: Exception) -> str:
    """Why a look has shown nothing, in one line."""
    return first_line(error) if isinstance(error, SQLAlchemyError) else str(error).strip().split("\n", 1)[0]
