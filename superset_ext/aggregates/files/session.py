"""A connection to a DuckDB source as Superset has it, and what it must be for aggregates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from superset_ext.aggregates.files.anchor import is_open_here
from superset_ext.aggregates.files.place import Place
from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import AggregateError, WatchError

_OLDEST = (1, 5)  # with a function that reads a table of another database
_LOCKED = "Could not set lock"
_OF_VALUES = ("ConversionException", "OutOfRangeException", "InvalidInputException", "DataError")


@dataclass(frozen=True)
class Session:
    """What a connection is.

    Attributes:
        path: of its database's file, as DuckDB has it.
        is_reading: whether it only reads.
        refusal: why no aggregate can be read over it; empty, if one can.
        schema: where names without one are looked up.
        settings: what the result of a statement may depend on.
    """

    database: str
    path: str | None
    is_reading: bool
    refusal: str
    schema: str
    zone: str
    settings: str


def session_of(cursor: Any) -> Session:
    """What the connection of a cursor is."""
    (row,) = rows_of(cursor, query_text("duckdb_session"))
    database, path, is_reading, is_encrypted, may_reach, version, schema, zone, settings = row
    refusal = ""
    if is_encrypted:
        refusal = "it is encrypted, which its aggregates would not be"
    elif not may_reach:
        refusal = "enable_external_access is off, so that DuckDB reads no other file"
    elif _numbers(version) < _OLDEST:
        refusal = "this version of DuckDB cannot read another database within a statement; that needs 1.5"
    return Session(database, path, bool(is_reading), refusal, schema, zone, str(settings))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def refuse(session: Session, place: Place) -> None:
    """Check that aggregates can be made and read over a connection.

    Raises:
        AggregateError: they cannot.
    """
    if not _is_at(session, place):
        raise AggregateError(f"its connection is to {session.path or 'a database in memory'}, not to {place.file}")
    if session.refusal:
        raise AggregateError(session.refusal)
    if not session.is_reading:
        raise AggregateError("Superset opens it to write, so that no other process can read it meanwhile; add "
                             "?access_mode=READ_ONLY to its URI")  # fmt: skip
    if not is_open_here(place.file):
        raise AggregateError("its file was replaced while this process has the old one open; try again later")


def _is_at(session: Session, place: Place) -> bool:
    try:
        return session.path is not None and place.file.samefile(session.path)
    except OSError:
        return False


@contextmanager
def connected(database: Any, place: Place) -> Iterator[tuple[Any, Session]]:
    """A cursor of a connection that Superset would have, by which aggregates can be made; closed at the end.

    Args:
        database: Superset's, detached.

    Raises:
        WatchError: it cannot be connected to.
        AggregateError: no aggregate can be made over it.
    """
    with database.get_sqla_engine() as engine:
        try:
            pooled = engine.raw_connection()
        except Exception as error:  # noqa: BLE001  (a driver raises what it likes)
            raise WatchError(f"the database {database.database_name!r} cannot be connected to: "
                             f"{_reason(error)}") from None  # fmt: skip
        try:
            cursor = pooled.dbapi_connection.cursor()
            with suppress(Exception):  # settings may be locked
                cursor.execute("SET enable_progress_bar = false")  # it would be drawn on a command's own output
            yield cursor, _fit(cursor, place)
        finally:
            pooled.invalidate()  # closed, and not kept


def _fit(cursor: Any, place: Place) -> Session:
    try:
        session = session_of(cursor)
    except Exception as error:  # noqa: BLE001  (of the driver; another version may have other settings)
        raise explained(error) from None
    refuse(session, place)
    return session


@contextmanager
def reading(cursor: Any) -> Iterator[None]:
    """A transaction that is rolled back at the end.

    Raises:
        AggregateError: the source refuses.
    """
    try:
        cursor.execute("BEGIN TRANSACTION")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
    except AggregateError:
        raise
    except Exception as error:  # noqa: BLE001  (of the driver, whichever it is)
        raise explained(error) from None


def rows_of(cursor: Any, sql: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
    """What a query gives."""
    cursor.execute(sql, list(values))
    return list(cursor.fetchall())


def explained(error: Exception) -> AggregateError:
    """The driver's error as one line; no value of a row is in it."""
    name = type(driver_error(error)).__name__
    if name in _OF_VALUES:
        return AggregateError(f"a value of its base cannot be calculated with ({name})")
    return AggregateError(_reason(error))


def _reason(error: Exception) -> str:
    text = first_line(error)
    if _LOCKED in text:
        return "another process has its file open to write; nothing was changed; try again when that has ended"
    return text
