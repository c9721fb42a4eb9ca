"""The triggers on the metadata database: made, looked at and taken away; see `metadata_stamps`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.engine import Connection, Engine

from superset_ext.core.sql_folder import query_text, sql_folder
from superset_ext.errors import Unanswerable

_FILES = tuple(sorted((sql_folder() / "grants").glob("[0-9][0-9]_*.sql")))
_UNINSTALL = sql_folder() / "grants" / "uninstall.sql"
_INSTALLED = "SELECT obj_description(to_regnamespace('superset_ext_grants'), 'pg_namespace')"
_VERSION = "version 10"
# By the search path of whoever asks: that of Superset's connection decides which tables it reads.
_TABLES = "ARRAY(SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(%s AS text[])) AS t(name))"
_WATCH = f"SELECT superset_ext_grants.watch({_TABLES})"
_THERE = "SELECT to_regclass('ab_user') IS NOT NULL"
_BEGIN = "SELECT superset_ext_grants.begin_run()"
_UNTOLD = f"ARRAY(SELECT name::text FROM superset_ext_grants.untold({_TABLES}) AS u(name))"  # noqa: S608
_LOOK = f"SELECT superset_ext_grants.anchor(), {_UNTOLD}"
_LOCKS = "SET LOCAL lock_timeout = '2s'"
FIX = "run superset perf upgrade; see docs/grants.md"


def is_possible(engine: Engine) -> bool:
    """Whether a metadata database has such triggers."""
    return bool(engine.dialect.name == "postgresql" and engine.dialect.driver == "psycopg2")


def make(cursor: Any, tables: Callable[[], list[str]]) -> None:
    """Make schema and triggers as far as they are not there.

    Args:
        tables: the names of the tables to watch.

    Raises:
        psycopg2.Error: the database refused, or does not answer.
    """
    cursor.execute(query_text("grants_version"))
    if not _is_current(cursor.fetchone()):
        for path in _FILES:
            cursor.execute(f"BEGIN; {_LOCKS}; {path.read_text(encoding='utf-8')}; COMMIT")
    # One by one: who waits for the lock of a table keeps those waiting that write it.
    for table in tables():
        cursor.execute("BEGIN")
        cursor.execute(_LOCKS)
        cursor.execute(_WATCH, (_array([table]),))
        cursor.execute("COMMIT")


def remove(cursor: Any) -> bool:
    """Remove triggers and schema; whether there were any.

    Raises:
        psycopg2.Error: as for `make`.
    """
    cursor.execute(_INSTALLED)
    is_there = cursor.fetchone()[0] is not None
    if is_there:
        cursor.execute(_UNINSTALL.read_text(encoding="utf-8"))
    return is_there


def anchor(connection: Connection, tables: Callable[[], list[str]]) -> str:
    """What names the triggers that are there, over a connection that Superset reads by.

    Raises:
        Unanswerable: they are not all there.
        SQLAlchemyError: the database refused, or does not answer.
    """
    if not connection.exec_driver_sql(_THERE).scalar():
        raise Unanswerable("Superset's tables are not there")
    if not _is_current(connection.exec_driver_sql(query_text("grants_version")).first()):
        raise Unanswerable(f"the triggers are not there: {FIX}")
    connection.exec_driver_sql(_BEGIN)
    name, untold = connection.exec_driver_sql(_LOOK, (_array(tables()),)).one()
    if untold:
        raise Unanswerable(f"changes of {', '.join(untold[:3])} are not told: {FIX}")
    if name is None:
        raise Unanswerable("Superset reads a replica of its metadata database")
    return str(name)


def _is_current(row: Any) -> bool:
    """Whether what `grants_version.sql` says is of this version."""
    return bool(row is not None and row[0] and row[0].endswith(_VERSION))


def _array(names: Sequence[str]) -> str:
    return "{" + ",".join(f'"{name}"' for name in names) + "}"
