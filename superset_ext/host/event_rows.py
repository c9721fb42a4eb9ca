"""Events as rows of Superset's `logs`, in one transaction for many: each once, and none of them for another's fault."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from superset_ext.core.driver_errors import driver_error
from superset_ext.core.warn_once import warn
from superset_ext.host.event_engine import is_in_transaction, unasked

logger = logging.getLogger(__name__)

MOST_TRIES = 30  # of an event that the database refuses by itself, for no fault of the event: about a minute
MYSQL = frozenset({"mysql", "mariadb"})  # SQLAlchemy's names of it, as its URL has one or the other
LATEST = 20_000  # rows among which one is looked for whose commit was in doubt
_OF_THE_ROW = (DataError, IntegrityError, ProgrammingError)


@dataclass(slots=True, eq=False)
class Event:
    """The rows of one call of the logger, which are written together or not at all.

    Attributes:
        engine: of the metadata database.
        rows: by the names of their columns.
        size: bytes of their JSON, about.
        tries: how often the database has refused it by itself.
        doubt: the transaction that may have written it; the same of all events in it.
    """

    engine: Any
    rows: list[dict[str, Any]]
    size: int
    tries: int = 0
    doubt: object | None = field(default=None, repr=False)


def write(events: Sequence[Event]) -> list[Event]:
    """Write events; those that have to be tried again, because the database is away."""
    return [event for engine, group in _by_engine(events) for event in _write_group(engine, group)]


def _by_engine(events: Sequence[Event]) -> Iterable[tuple[Any, list[Event]]]:
    return [(group[0].engine, group) for _, of in groupby(events, lambda event: id(event.engine)) if (group := [*of])]


def _write_group(engine: Any, events: list[Event]) -> list[Event]:
    try:
        _commit(engine, events)
    except _Away as away:
        _tell_of_refusal(len(events), away.cause)
        return events
    except Exception as error:  # noqa: BLE001  (a driver may raise anything for a value that it cannot send)
        if len(events) > 1:
            return [event for one in events for event in _write_group(engine, [one])]
        return _refused(engine, events[0], error)
    return []


class _Away(Exception):
    """The database did not answer; nothing is written, or that is in doubt."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class _Lost(_Away):
    """The connection was lost before its commit was asked for, so that nothing is written."""


def _commit(engine: Any, events: list[Event]) -> None:
    """Write events in one transaction; in another one at once if the connection had been closed while it was idle.

    Raises:
        _Away: see there.
        Exception: the database refuses them.
    """
    try:
        _commit_once(engine, events)
    except _Lost:
        _commit_once(engine, events)


def _commit_once(engine: Any, events: list[Event]) -> None:
    connected = sent = is_safe = False
    try:
        with unasked(engine).connect() as connection:
            connected = True
            with connection.begin():
                is_safe = is_in_transaction(connection)
                rows = [row for event in _unwritten(connection, events) for row in event.rows]
                if rows:
                    connection.execute(_table().insert(), rows)
                sent = True
    except Exception as error:
        if connected and not getattr(error, "connection_invalidated", False):
            raise
        if sent:
            doubt = object()
            for event in events:
                event.doubt = doubt
        raise (_Lost if is_safe and not sent else _Away)(error) from error


def _unwritten(connection: Any, events: list[Event]) -> list[Event]:
    """Those that an earlier transaction, whose commit was in doubt, has not written."""
    written: dict[object, bool] = {}
    for event in events:
        if event.doubt is not None and event.doubt not in written:
            written[event.doubt] = _is_written(connection, event.rows[0])
    return [event for event in events if not written.get(event.doubt)]


def _is_written(connection: Any, row: dict[str, Any]) -> bool:
    table = _table()
    latest = select(table).order_by(table.c.id.desc()).limit(LATEST).subquery()
    wanted = [latest.c[name].is_(None) if value is None else latest.c[name] == value for name, value in row.items()
              if name != "dttm"]  # fmt: skip
    times = connection.execute(select(latest.c.dttm).where(*wanted)).scalars()
    # MySQL keeps whole seconds.
    return any(abs((time - row["dttm"]).total_seconds()) <= _precision(connection) for time in times)


def _precision(connection: Any) -> float:
    return 1.0 if connection.dialect.name in MYSQL else 0.0


def _refused(engine: Any, event: Event, error: Exception) -> list[Event]:
    """What becomes of an event that the database refuses by itself: what stock has too, if there is anything."""
    if isinstance(error, IntegrityError) and any(row["user_id"] is not None for row in event.rows):
        # Whoever did it was deleted meanwhile; Superset takes a deleted user's id out of the rows that are there.
        for row in event.rows:
            row["user_id"] = None
        return _write_group(engine, [event])
    event.tries += 1
    is_of_the_row = isinstance(error, _OF_THE_ROW) or not isinstance(error, DBAPIError)
    if not is_of_the_row and event.tries < MOST_TRIES:
        return [event]
    name = type(driver_error(error)).__name__
    logger.error("superset_ext: an event could not be written to Superset's logs (%s): %s", name, _actions(event))
    return []


def _actions(event: Event) -> str:
    return ", ".join(sorted({str(row["action"]) for row in event.rows}))


def _tell_of_refusal(count: int, error: Exception) -> None:
    name = type(driver_error(error)).__name__
    warn(
        "events wait", "the metadata database takes no rows of Superset's logs (%s), of %d events and more", name, count
    )


def _table() -> Any:
    from superset_ext.host.models import Log

    return Log.__table__
