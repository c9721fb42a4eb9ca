"""Which tables of which databases are watched: added, removed, listed, and what a listener needs of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import UnknownDatabase, WatchError
from superset_ext.freshness.change import Change, SourceTable, changed
from superset_ext.freshness.watch import triggers
from superset_ext.freshness.watch.listener import Stamp
from superset_ext.freshness.watch.triggers import Name, Watched
from superset_ext.host.databases import database_of, database_typed, detached, has_database
from superset_ext.package import package, this_app

HEARTBEAT = "superset perf listen"
_BEAT = """
INSERT INTO superset_ext.heartbeat AS known (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at
WHERE known.at < now() - interval '10 seconds'
"""
_WANTED = "SELECT database_id, schema_name, table_name FROM superset_ext.cache_watch ORDER BY 1, 2, 3"
_REMEMBER = "INSERT INTO superset_ext.cache_watch (database_id, schema_name, table_name) VALUES (%s, %s, %s)"
_FORGET = "DELETE FROM superset_ext.cache_watch WHERE database_id = %s AND schema_name = %s AND table_name = %s"


def listened(log: LogDatabase) -> Mapping[int, set[Name]]:
    """The tables to watch, for a listener. Leaves its heartbeat, which `docker/healthcheck.py` and tuning read."""
    names = wanted(log)
    with log.transaction() as cursor:
        cursor.execute(_BEAT, (HEARTBEAT,))
    with suppress(OSError):
        Path(os.environ.get("SUPERSET_LISTENER_BEAT", "/tmp/superset-listener")).touch()  # noqa: S108
    return names


def stamping(app: Any) -> Stamp:
    """What tells the caches of this app."""

    def stamp(tables: Collection[SourceTable], again: bool) -> None:
        with app.app_context():
            changed(Change("postgresql", "data_update", tables=tuple(tables)), logged=not again)

    return stamp


def wanted(log: LogDatabase) -> Mapping[int, set[Name]]:
    """The tables to watch, by Superset's id of their database."""
    names: dict[int, set[Name]] = {}
    for row in log.rows(_WANTED):
        names.setdefault(row["database_id"], set()).add(Name(row["schema_name"], row["table_name"]))
    return names


@contextmanager
def connect(app: Any, database_id: int) -> Iterator[Any]:
    """A psycopg2 connection to one of Superset's databases, through its tunnel if it has one; closed at the end.

    Raises:
        UnknownDatabase: there is no such database.
        WatchError: it is not PostgreSQL, or it does not answer.
    """
    with app.app_context(), ExitStack() as stack:
        database = _database(database_id)
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


def _database(named: int | str) -> Any:
    """Superset's database of this id or name. Needs an app context.

    Raises:
        UnknownDatabase: there is none.
        WatchError: it is not PostgreSQL.
    """
    database = database_typed(named) if isinstance(named, str) else database_of(named)
    if database.db_engine_spec.engine != "postgresql":
        raise WatchError(
            f"the database {database.database_name!r} is {database.db_engine_spec.engine}, and only PostgreSQL can be "
            "watched; probe it instead"
        )
    return database


def add_watches(database: str, tables: Sequence[str], two_phase_unused: bool) -> tuple[int, list[Name]]:
    """Watch tables of a database, named as in SQL; the database's id and the tables.

    Raises:
        WatchError: the source does not answer, or a table cannot be watched.
    """
    log, number = package().log(), _database(database).id
    with connect(this_app(), number) as connection, triggers.transaction(connection) as cursor:
        names = triggers.add(cursor, tables, two_phase_unused)
        # Written before the source commits: of what is wanted and not there, the listener puts back what is missing.
        with log.transaction() as written:
            for name in names:
                written.execute(f"{_REMEMBER} ON CONFLICT DO NOTHING", (number, *name))
    return number, names


def remove_watches(database: str, tables: Sequence[str] = ()) -> tuple[int, list[Name], str]:
    """Watch tables of a database no longer; all of its tables where none is named.

    Returns:
        The database's id, the tables, and a line about what is left to do by hand, or `""`.

    Raises:
        WatchError: the source does not answer, or a table is not watched.
    """
    log = package().log()
    if database.isdigit() and (names := _of_deleted(log, int(database))):
        line = f"Superset has no database {database} any more. Remove the rest there with sql/watch/uninstall.sql."
        return int(database), names, line
    number = _database(database).id
    with connect(this_app(), number) as connection, triggers.transaction(connection) as cursor:
        triggers.take_turn(cursor)
        known = wanted(log).get(number, set()) | {watched.name for watched in triggers.state(cursor)}
        names = sorted({triggers.among(cursor, known, table) for table in tables} if tables else known)
        triggers.remove(cursor, names)
        # Written before the source commits: until then no listener can put back what it believes to be wanted.
        _forget(log, number, names)
    return number, names, ""


def _of_deleted(log: LogDatabase, number: int) -> list[Name]:
    """Forget the watches of a database that Superset does not have any more; those that were forgotten."""
    names = sorted(wanted(log).get(number, ()))
    if not names or has_database(number):
        return []
    _forget(log, number, names)
    return names


def _forget(log: LogDatabase, number: int, names: Collection[Name]) -> None:
    with log.transaction() as cursor:
        for name in names:
            cursor.execute(_FORGET, (number, *name))


def watches() -> list[dict[str, Any]]:
    """Each watched table as `watch list` shows it. Needs an app context."""
    return [row for number, names in wanted(package().log()).items() for row in _of_database(this_app(), number, names)]


def _of_database(app: Any, number: int, names: Collection[Name]) -> list[dict[str, Any]]:
    """A row for each watched table of a database; where that does not answer, its error is the problem of each."""
    try:
        title = _database(number).database_name
        with connect(app, number) as connection, triggers.transaction(connection) as cursor:
            states, listeners = (
                {watched.name: watched for watched in triggers.state(cursor)},
                triggers.listeners(cursor),
            )
        problems = {name: _problem(states.get(name)) for name in names}
    except (UnknownDatabase, WatchError) as error:
        title, states, listeners, problems = str(number), {}, None, dict.fromkeys(names, str(error))
    return [
        {
            "database_id": number, "database": title, "table": str(name), "listeners": listeners,
            "added_at": states[name].added_at if name in states else None,
            "notified_at": states[name].notified_at if name in states else None,
            "intact": problems[name] is None, "problem": problems[name],
        }
        for name in sorted(names)
    ]  # fmt: skip


def _problem(watched: Watched | None) -> str | None:
    if watched is None:
        return "is not watched on the source; the listener puts it back, or: superset perf watch add"
    if watched.relation is None:
        return "there is no such table any more"
    return f"triggers do not fire on {watched.missing} of its tables" if watched.missing else None
