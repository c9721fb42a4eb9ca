"""`superset perf watch` and `superset perf listen`: source tables whose changes are heard of at their commit."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import psycopg2
from flask import current_app
from flask.cli import with_appcontext

from superset_ext.core.driver_errors import first_line
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import SupersetExtError, WatchError
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.watch import triggers as verbs
from superset_ext.freshness.watch.listener import Listener, Stamp
from superset_ext.freshness.watch.triggers import Name, Watched
from superset_ext.package import EXTENSION

HEARTBEAT = "superset perf listen"
_BEAT = """
INSERT INTO superset_ext.heartbeat AS known (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at
WHERE known.at < now() - interval '10 seconds'
"""
_WANTED = "SELECT database_id, schema_name, table_name FROM superset_ext.cache_watch ORDER BY 1, 2, 3"
_REMEMBER = "INSERT INTO superset_ext.cache_watch (database_id, schema_name, table_name) VALUES (%s, %s, %s)"
_FORGET = "DELETE FROM superset_ext.cache_watch WHERE database_id = %s AND schema_name = %s AND table_name = %s"


@click.group()
def watch() -> None:
    """Source tables whose changes drop what is cached, at their commit."""


@watch.command()
@with_appcontext
@click.argument("database")
@click.argument("tables", nargs=-1, required=True, metavar="SCHEMA.TABLE…")
@click.option("--two-phase-unused", is_flag=True, help="Nobody who writes to these tables uses PREPARE TRANSACTION.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(database: str, tables: tuple[str, ...], two_phase_unused: bool, as_json: bool) -> None:
    """Watch tables of DATABASE, Superset's name or id of a PostgreSQL database.

    Names are written as in SQL: "Sales" with its quotes, where a name is not all in lower case. A partitioned table is
    watched with all of its parts. If a table is locked for more than three seconds, nothing is done.
    """
    number, names = _clear(lambda: _add(database, tables, two_phase_unused))
    _echo(as_json, {"database_id": number, "watched": [*map(str, names)]}, f"Watched: {', '.join(map(str, names))}.")


@watch.command()
@with_appcontext
@click.argument("database")
@click.argument("tables", nargs=-1, metavar="SCHEMA.TABLE…")
@click.option("--all", "everything", is_flag=True, help="All watched tables of the database.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def remove(database: str, tables: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Watch tables of DATABASE no longer, also such that are gone; with the last one, nothing is left on the source."""
    if bool(tables) == everything:
        raise click.UsageError("name tables, or give --all")
    number, names = _clear(lambda: take_away(database, tables))
    said = f"Not watched any more: {', '.join(map(str, names)) or 'nothing was'}."
    _echo(as_json, {"database_id": number, "removed": [*map(str, names)]}, said)


@watch.command("list")
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """What is watched, whether its triggers are all there, and when it was last heard to have changed."""
    rows = _clear(watches)
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
    elif rows:
        _print(rows)
    else:
        click.echo("Nothing is watched; begin with: superset perf watch add DATABASE SCHEMA.TABLE")


@click.command()
@with_appcontext
def listen() -> None:
    """Listen to the databases that have watched tables, until SIGTERM or Ctrl-C; one such process is enough."""
    app, log = _app(), _clear(_log)
    listener = Listener(lambda: _seen(log, wanted(log)), lambda number: connect(app, number), stamping(app))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: listener.stop())
    click.echo("Listening; Ctrl-C ends it.")
    listener.run()


def _seen(log: LogDatabase, found: Mapping[int, set[Name]]) -> Mapping[int, set[Name]]:
    """What is to be watched; that it was seen is noted, for `docker/healthcheck.py` and for tuning.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with log.transaction() as cursor:
        cursor.execute(_BEAT, (HEARTBEAT,))
    with suppress(OSError):
        Path(os.environ.get("SUPERSET_LISTENER_BEAT", "/tmp/superset-listener")).touch()  # noqa: S108
    return found


def stamping(app: Any) -> Stamp:
    """What tells the caches of this app."""
    from superset_ext.freshness.change import Change, changed

    def stamp(tables: Collection[SourceTable], again: bool) -> None:
        with app.app_context():
            changed(Change("postgresql", "data_update", tables=tuple(tables)), logged=not again)

    return stamp


def wanted(log: LogDatabase) -> Mapping[int, set[Name]]:
    """The tables that are to be watched, by Superset's id of their database.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    found: dict[int, set[Name]] = {}
    for row in log.rows(_WANTED):
        found.setdefault(row["database_id"], set()).add(Name(row["schema_name"], row["table_name"]))
    return found


@contextmanager
def connect(app: Any, database_id: int) -> Iterator[Any]:
    """A psycopg2 connection to one of Superset's databases, through its tunnel if it has one; closed at the end.

    Raises:
        WatchError: there is no such database, it is not PostgreSQL, or it does not answer.
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
    from superset.extensions import db

    _ = database.ssh_tunnel  # all that is loaded only when asked for
    db.session.expunge(database)
    db.session.close()  # Superset's own connection is not held for as long as this one lasts
    with database.get_sqla_engine() as engine:
        pooled = engine.raw_connection()
        try:
            yield pooled.dbapi_connection
        finally:
            pooled.invalidate()  # closed, and not rolled back first: it may be lost


def _database(named: int | str) -> Any:
    """Superset's database of this id or name; needs an app context.

    Raises:
        WatchError: there is none, or it is not PostgreSQL.
    """
    from superset.extensions import db
    from superset.models.core import Database

    query = db.session.query(Database)
    found = query.filter(Database.database_name == str(named)).one_or_none() if isinstance(named, str) else None
    if found is None and str(named).isdigit():
        found = query.filter(Database.id == int(named)).one_or_none()
    if found is None:
        known = ", ".join(row[0] for row in db.session.query(Database.database_name).order_by(Database.database_name))
        raise WatchError(f"Superset has no database {named!r}; it has: {known or 'none'}")
    if found.db_engine_spec.engine != "postgresql":
        raise WatchError(
            f"the database {found.database_name!r} is {found.db_engine_spec.engine}, and only PostgreSQL can be "
            "watched; probe it instead"
        )
    return found


def _add(database: str, tables: Sequence[str], two_phase_unused: bool) -> tuple[int, list[Name]]:
    log, number = _log(), _database(database).id
    with connect(_app(), number) as connection, verbs.transaction(connection) as cursor:
        names = verbs.add(cursor, tables, two_phase_unused)
        # Written before the source commits: of what is wanted and not there, the listener puts back what is missing.
        with log.transaction() as written:
            for name in names:
                written.execute(f"{_REMEMBER} ON CONFLICT DO NOTHING", (number, *name))
    return number, names


def take_away(database: str, tables: Sequence[str]) -> tuple[int, list[Name]]:
    """Take watches of a database, by its name or id, away; of all tables, where none is named.

    Raises:
        WatchError: the source does not answer, or a table is not watched.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    log = _log()
    if database.isdigit() and (gone := _of_deleted(log, int(database))):
        return int(database), gone
    number = _database(database).id
    with connect(_app(), number) as connection, verbs.transaction(connection) as cursor:
        verbs.take_turn(cursor)
        known = wanted(log).get(number, set()) | {each.name for each in verbs.state(cursor)}
        names = sorted({verbs.among(cursor, known, table) for table in tables} if tables else known)
        verbs.remove(cursor, names)
        # Written before the source commits: until then no listener can put back what it believes to be wanted.
        _forget(log, number, names)
    return number, names


def _of_deleted(log: LogDatabase, number: int) -> list[Name]:
    """Forget the watches of a database that Superset does not have any more; those that were forgotten."""
    from superset.extensions import db
    from superset.models.core import Database

    names = sorted(wanted(log).get(number, ()))
    if not names or db.session.query(Database.id).filter(Database.id == number).one_or_none() is not None:
        return []
    click.echo(
        f"Superset has no database {number} any more. What is left on that source goes with sql/watch/uninstall.sql.",
        err=True,
    )
    _forget(log, number, names)
    return names


def _forget(log: LogDatabase, number: int, names: Collection[Name]) -> None:
    with log.transaction() as cursor:
        for name in names:
            cursor.execute(_FORGET, (number, *name))


def watches() -> list[dict[str, Any]]:
    """Each watched table as `watch list` shows it; needs the app's context.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    return [row for number, names in wanted(_log()).items() for row in _of_database(_app(), number, names)]


def _of_database(app: Any, number: int, names: Collection[Name]) -> list[dict[str, Any]]:
    """A row for each watched table of a database; where that does not answer, its error is the problem of each."""
    try:
        title = _database(number).database_name
        with connect(app, number) as connection, verbs.transaction(connection) as cursor:
            found, listeners = {each.name: each for each in verbs.state(cursor)}, verbs.listeners(cursor)
        problems = {name: _problem(found.get(name)) for name in names}
    except WatchError as error:
        title, found, listeners, problems = str(number), {}, None, dict.fromkeys(names, str(error))
    return [
        {
            "database_id": number, "database": title, "table": str(name), "listeners": listeners,
            "added_at": found[name].added_at if name in found else None,
            "notified_at": found[name].notified_at if name in found else None,
            "intact": problems[name] is None, "problem": problems[name],
        }
        for name in sorted(names)
    ]  # fmt: skip


def _problem(found: Watched | None) -> str | None:
    if found is None:
        return "is not watched on the source; the listener puts it back, or: superset perf watch add"
    if found.relation is None:
        return "there is no such table any more"
    return f"triggers do not fire on {found.missing} of its tables" if found.missing else None


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("database", "table", "since", "heard of", "listeners", "triggers"):
        table.add_column(name, no_wrap=name != "triggers", justify="right" if name == "listeners" else "left")
    for row in rows:
        count = "–" if row["listeners"] is None else str(row["listeners"])
        times = (_clock(row["added_at"]), _clock(row["notified_at"]))
        table.add_row(row["database"], row["table"], *times, count, row["problem"] or "whole")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if any(row["listeners"] == 0 for row in rows):
        click.echo("Nobody listens; start: superset perf listen", err=True)


def _clock(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}" if moment else "–"


def _echo(as_json: bool, said: Mapping[str, Any], text: str) -> None:
    click.echo(json.dumps(said) if as_json else text)


def _app() -> Any:
    """The app itself, for threads that are not in its context."""
    here: Any = current_app
    return here._get_current_object()


def _log() -> LogDatabase:
    package = current_app.extensions.get(EXTENSION)
    if package is None:
        raise WatchError("the package is not switched on; set SUPERSET_EXT_REDIS_URL")
    if package.database is None:
        raise WatchError("no log database; set SUPERSET_EXT_LOG_DATABASE_URL to a PostgreSQL URL")
    return package.database  # type: ignore[no-any-return]


def _clear(verb: Callable[[], Any]) -> Any:
    try:
        return verb()
    except SupersetExtError as error:
        raise click.ClickException(str(error)) from None
