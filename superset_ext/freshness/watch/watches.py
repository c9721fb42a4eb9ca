"""The watches of Superset's databases: added, removed and listed. Everything here needs an app context.

Raises:
    UnknownDatabase: Superset has no database of this name or id.
    WatchError: the source does not answer, or refuses.
    LogUnavailable: the log database does not answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import UnknownDatabase, WatchError
from superset_ext.freshness.watch import triggers
from superset_ext.freshness.watch.schema import take_turn
from superset_ext.freshness.watch.service import say
from superset_ext.freshness.watch.source import connect, watchable
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.wanted import forget, remember, wanted
from superset_ext.freshness.watch.watched import Name, Watched
from superset_ext.host.databases import has_database
from superset_ext.package import package, this_app


def add_watches(database: str, tables: Sequence[str], two_phase_unused: bool) -> tuple[int, list[Name]]:
    """Watch tables of a database, written as in SQL.

    Returns:
        The database's id, and the tables.
    """
    log, number = package().log(), watchable(database).id
    with connect(this_app(), number) as connection, transaction(connection) as cursor:
        names = triggers.add(cursor, tables, two_phase_unused)
        # Written before the source commits: if the commit fails, the listener puts back what is wanted and missing.
        remember(log, number, names)
    return number, names


def remove_watches(database: str, tables: Sequence[str] = ()) -> tuple[int, list[Name], str]:
    """Watch tables of a database no longer; all of its tables if none is named.

    Returns:
        The database's id, the tables, and a line about what is left to do by hand, or `""`.
    """
    log = package().log()
    if database.isdigit() and (names := _forget_deleted(log, int(database))):
        line = f"Superset has no database {database} any more. Remove the rest there with sql/watch/uninstall.sql."
        return int(database), names, line
    number = watchable(database).id
    with connect(this_app(), number) as connection, transaction(connection) as cursor:
        take_turn(cursor)
        known = wanted(log).get(number, set()) | {watched.name for watched in triggers.state(cursor)}
        names = sorted({triggers.among(cursor, known, table) for table in tables} if tables else known)
        triggers.remove(cursor, names)
        # Written before the source commits: until then no listener can put back what it believes to be wanted.
        forget(log, number, names)
    say(number, known - set(names), hears=False)
    return number, names, ""


def _forget_deleted(log: LogDatabase, number: int) -> list[Name]:
    """Forget the watches of a database that Superset does not have any more, and return their tables."""
    names = sorted(wanted(log).get(number, ()))
    if not names or has_database(number):
        return []
    forget(log, number, names)
    say(number, (), hears=False)
    return names


def watches() -> list[dict[str, Any]]:
    """Each watched table as `superset perf watch list` shows it."""
    return [row for number, names in wanted(package().log()).items() for row in _of_database(this_app(), number, names)]


def _of_database(app: Any, number: int, names: Collection[Name]) -> list[dict[str, Any]]:
    """A row for each watched table of a database. If the database does not answer, its error is each row's problem."""
    try:
        title = watchable(number).database_name
        with connect(app, number) as connection, transaction(connection) as cursor:
            states = {watched.name: watched for watched in triggers.state(cursor)}
            listeners = triggers.listeners(cursor)
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
