"""A look at a DuckDB source, which opens nothing; and what is looked at right before a text that reads an aggregate.

Why an aggregate may be called exact stands in `aggregates.files`. The text reads its file by a function, so that
nothing is attached which others of the process could see, and nothing has to be taken away afterwards.
"""

from __future__ import annotations

import time
from time import monotonic
from typing import Any

from superset_ext.aggregates.files.anchor import is_open_here
from superset_ext.aggregates.files.bases import Base, bases_of
from superset_ext.aggregates.files.catalogue import Entry, entries, entry_of
from superset_ext.aggregates.files.place import Place, place_of
from superset_ext.aggregates.files.session import Session, refuse, session_of
from superset_ext.aggregates.route.guard import Held
from superset_ext.aggregates.route.looked import Known, Looked
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.view import View
from superset_ext.core.driver_errors import driver_error
from superset_ext.errors import AggregateError, NotHeld
from superset_ext.host.databases import database_of, detached

_ANOTHER = "it is gone, or was built anew or switched off since it was looked at"


def look(app: Any, database_id: int) -> tuple[Looked, list[Kept]]:
    """See `engines.Engine`. No connection is opened, which would be in the way of those who write to the file."""
    with app.app_context():
        place = place_of(detached(database_of(database_id)).url_object.database)
    began, all_entries = monotonic(), entries(place)
    all_kept = [kept for _, kept in all_entries]
    ready = [(entry, kept) for entry, kept in all_entries if entry.state == "ready"]
    if not ready:
        return Looked([], "", "", (), is_fixed=True), all_kept
    last, _ = max(ready, key=lambda one: one[0].refreshed_at or 0.0)
    known = [Known(kept, (), began, place) for entry, kept in ready if _session(entry) == _session(last)]
    return Looked(known, last.zone, last.database, last.path, is_fixed=True), all_kept


def hold(cursor: Any, known: Known, view: View, looked: tuple[str, str], sql: str, _ms: int) -> Held:
    """See `engines.Engine`. DuckDB has no limit for a statement.

    Raises:
        NotHeld: it may not be read for this statement.
    """
    if known.place is None:
        raise NotHeld(_ANOTHER, passing=True)
    try:
        entry = _same_entry(known, known.place)
        bases = _bases_asked(cursor, known.place, entry, view, looked)
        _refuse_unplanned(cursor, sql)
    except NotHeld:
        raise
    except AggregateError as error:
        raise NotHeld(str(error)) from None
    except Exception as error:  # noqa: BLE001  (of the driver; its text may have values)
        raise NotHeld(f"the source refused ({type(driver_error(error)).__name__})") from None
    return _held(known.place, entry, bases)


def _same_entry(known: Known, place: Place) -> Entry:
    entry = entry_of(place, known.name)
    if entry is None or entry.state != "ready" or entry.built_at is None:
        raise NotHeld(_ANOTHER, passing=True)
    if Known(entry.kept(place), (), 0.0).edition != known.edition:
        raise NotHeld(_ANOTHER, passing=True)
    if entry.version != known.kept.version:
        raise NotHeld("it was refreshed since it was looked at", passing=True)
    return entry


def _bases_asked(cursor: Any, place: Place, entry: Entry, view: View, looked: tuple[str, str]) -> list[Base]:
    """The tables that the statement means over this connection, which must be as the one that has built the rows."""
    session = session_of(cursor)
    _refuse_session(session, place, entry, looked)
    return bases_of(cursor, view.relation, session.schema)


def _refuse_unplanned(cursor: Any, sql: str) -> None:
    """Have DuckDB plan Superset's own statement: what is no statement there has no answer."""
    cursor.execute(f"EXPLAIN SELECT 1 FROM (\n{sql.rstrip().rstrip(';')}\n) AS asked")  # noqa: S608
    cursor.fetchall()


def _held(place: Place, entry: Entry, bases: list[Base]) -> Held:
    """What may be said of the rows, if they are of the tables that the statement means."""
    stored = [tuple(base) for base in entry.bases]
    if [base[:2] for base in bases] != [base[:2] for base in stored]:
        raise NotHeld("a name of the statement means another table than the aggregate's")
    age = time.time() - (entry.as_of or 0.0)
    return Held(entry.is_exact(place), age, bases == stored)  # last: what follows is as of this look


def _refuse_session(session: Session, place: Place, entry: Entry, looked: tuple[str, str]) -> None:
    if not is_open_here(place.file):
        raise NotHeld("its file was replaced while this process has the old one open", passing=True)
    refuse(session, place)
    if (session.zone, session.database) != looked or session.settings != entry.settings:
        raise NotHeld("the session has another time zone, database or other settings than the one that has built it")


def _session(entry: Entry) -> tuple[object, ...]:
    return entry.zone, entry.database, entry.settings, tuple(entry.path)
