"""Watches that somebody has installed on a source, and of which Superset has not been told: nobody listens to them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import WatchError
from superset_ext.freshness.watch.source import connect
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.wanted import wanted
from superset_ext.freshness.watch.watched import SCHEMA, Name, quoted
from superset_ext.host.databases import databases_of_people
from superset_ext.host.same_source import same_source

CONNECT_SECONDS = 5  # for each source, of which some may be away
_TRIGGERS = r"SELECT count(DISTINCT tgrelid) FROM pg_trigger WHERE tgname ~ '^superset_ext_watch_\d+$'"
_READABLE = (
    "SELECT coalesce(has_schema_privilege(oid, 'USAGE'), false) FROM pg_namespace WHERE nspname = 'superset_ext_watch'"
)
_TABLES = "SELECT schema_name, table_name FROM superset_ext_watch.watched ORDER BY 1, 2"


def hints(app: Any, log: LogDatabase) -> list[str]:
    """A line for each PostgreSQL database with watches that are installed and not added: how many, and the command.

    Sources that do not answer within `CONNECT_SECONDS` are left out. Needs an app context.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    known, lines, seen = wanted(log), [], set[int]()
    with _soon():
        for number, title in databases_of_people("postgresql"):
            alike = same_source(number)
            names = {name for other in alike for name in known.get(other, ())}
            if not alike & seen and (line := _hint(app, number, title, names)):
                seen.add(number)
                lines.append(line)
    return lines


def _hint(app: Any, number: int, title: str, known: set[Name]) -> str:
    """The line of one database; empty where nothing is to be said, or it does not answer."""
    try:
        with connect(app, number) as connection, transaction(connection) as cursor:
            cursor.execute(_TRIGGERS)
            (triggers,) = cursor.fetchone()
            cursor.execute(_READABLE)
            readable = cursor.fetchone()
            if not triggers or readable is None:
                return ""
            if not readable[0]:
                return "" if known else _unreadable(title, triggers, connection.info.user)
            cursor.execute(_TABLES)
            names = [name for row in cursor.fetchall() if (name := Name(*row)) not in known]
    except WatchError:  # what is away or refuses has no hint; `superset perf doctor` looks at databases
        return ""
    return _unadded(title, names) if names else ""


def _unadded(title: str, names: list[Name]) -> str:
    command = f"superset perf watch add {shlex.quote(title)} {' '.join(shlex.quote(str(name)) for name in names)}"
    tables = "1 table has" if len(names) == 1 else f"{len(names)} tables have"
    return f"{title}: {tables} triggers of a watch on the source, and nobody listens to them yet; run: {command}"


def _unreadable(title: str, triggers: int, role: str) -> str:
    tables = "1 table has" if triggers == 1 else f"{triggers} tables have"
    return (
        f"{title}: {tables} triggers of a watch on the source, which {role} may not read; let the owner of the schema"
        f" {SCHEMA} run: SELECT superset_ext_watch.allow({_literal(quoted(role))}); and then:"
        f" superset perf watch add {shlex.quote(title)} SCHEMA.TABLE…"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _soon() -> Iterator[None]:
    """Within this, libpq gives up a connection after `CONNECT_SECONDS`, unless its URL or the environment says more."""
    name = "PGCONNECT_TIMEOUT"
    before = os.environ.get(name)
    os.environ.setdefault(name, str(CONNECT_SECONDS))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
