"""Makes the rows of an aggregate, in a new file."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from superset_ext.aggregates.files.anchor import anchor, is_open_here, unopened
from superset_ext.aggregates.files.bases import Base, bases_of, refuse_shadows
from superset_ext.aggregates.files.catalogue import Entry, own_table, stamp_of, write
from superset_ext.aggregates.files.place import Place, protect
from superset_ext.aggregates.files.session import Session, explained, rows_of
from superset_ext.aggregates.finite import TIMES
from superset_ext.aggregates.tables.definition import SCHEMA, Definition
from superset_ext.aggregates.view import quoted
from superset_ext.errors import AggregateError

_TRIED = 3
Connect = Callable[[], AbstractContextManager[tuple[Any, Session]]]
_CHANGED = "its file was changed each time while its rows were read; nothing was changed here; try again later"


def statements(definition: Definition, database: str) -> list[str]:
    """What makes the table in a new file that is attached as `database`."""
    view = definition.view
    names = [*definition.filters, *(view.names[key] for key in view.keys)]
    order = f" ORDER BY {', '.join(map(quoted, dict.fromkeys(names)))}" if names else ""
    return [
        f"CREATE SCHEMA {quoted(database)}.{SCHEMA}",
        f"CREATE TABLE {quoted(database)}.{own_table(definition.name)} AS SELECT * FROM ({definition.select()}) AS made"  # noqa: S608
        f"{order}",
    ]


def remade(connected: Connect, place: Place, entry: Entry, now_ns: Callable[[], int]) -> Entry:
    """Make all rows of an aggregate anew, in a file of the next version, and put it in place.

    Args:
        connected: a connection to the source, once its anchor was read.

    Raises:
        AggregateError: it could not be made; nothing is left of it, and what was there is there still.
    """
    began = time.monotonic()
    clear(place, entry.name)
    for _ in range(_TRIED):
        now, as_of = unopened(place.file, now_ns), time.time()
        new = place.folder / f".{entry.name}.{secrets.token_hex(8)}.new"
        try:
            with connected() as (cursor, session):
                made = _filled(cursor, session, place, entry, new)
                is_same = anchor(place.file) == now and is_open_here(place.file)
            if is_same:
                made = replace(made, anchor=now, as_of=as_of, seconds=time.monotonic() - began)
                return _put_in_place(place, made, new)
        except OSError as error:
            raise AggregateError(f"its file cannot be written ({error.strerror}); nothing is left of it") from None
        finally:
            _remove(new)
    raise AggregateError(_CHANGED)


def clear(place: Place, name: str) -> None:
    """Take away what runs have left that were broken off."""
    for path in place.folder.glob(f".{name}.*.new*"):
        path.unlink(missing_ok=True)


def remove_rows(place: Place, name: str, but: Path | None = None) -> None:
    """Take the rows of an aggregate away, but for those in one file. Who reads them can go on."""
    for path in place.folder.glob(f"{name}.*.duckdb*"):
        if path != but:
            path.unlink(missing_ok=True)


def _put_in_place(place: Place, entry: Entry, new: Path) -> Entry:
    _synced(new)
    protect(new, place.file)
    rows = entry.file(place)
    new.replace(rows)
    done = replace(entry, stamp=stamp_of(rows))
    write(place, done)
    remove_rows(place, entry.name, but=rows)
    return done


def _filled(cursor: Any, session: Session, place: Place, entry: Entry, new: Path) -> Entry:
    """The rows in a new file, and what is known of them."""
    definition = entry.definition(place)
    try:
        with _attached(cursor, new) as database, _committed(cursor):
            bases, measured = _made(cursor, session, definition, database)
    except (AggregateError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  (of the driver, whichever it is)
        raise explained(error) from None
    now = time.time()
    return replace(
        entry, bases=bases, settings=session.settings, database=session.database, zone=session.zone,
        state="ready", reason="", version=entry.version + 1,
        refreshed_at=now, built_at=entry.built_at or now, **measured,
    )  # fmt: skip


@contextmanager
def _attached(cursor: Any, new: Path) -> Iterator[str]:
    """A new file, under a name that nobody knows and only until it is written."""
    database = f"superset_ext_{secrets.token_hex(8)}"
    cursor.execute(f"ATTACH '{str(new).replace(chr(39), chr(39) * 2)}' AS {database} (READ_WRITE)")
    try:
        yield database
    finally:
        cursor.execute(f"DETACH {database}")


@contextmanager
def _committed(cursor: Any) -> Iterator[None]:
    """A transaction that is rolled back where something fails."""
    try:
        cursor.execute("BEGIN TRANSACTION")
        yield
        cursor.execute("COMMIT")
    except BaseException:
        with suppress(Exception):
            cursor.execute("ROLLBACK")
        raise


def _made(cursor: Any, session: Session, definition: Definition, database: str) -> tuple[list[Base], dict[str, Any]]:
    """The tables that the rows were read from, and what was counted of the rows."""
    refuse_shadows(cursor)
    bases = bases_of(cursor, definition.settled_view.relation, session.schema)
    for statement in statements(definition, database):
        cursor.execute(statement)
    return bases, _measured(cursor, definition, f"{database}.{own_table(definition.name)}")


def _measured(cursor: Any, definition: Definition, table: str) -> dict[str, Any]:
    """Its rows, the types of its columns, the values of its keys, and which of its times are never infinite."""
    view = definition.view
    keys = [view.names[key] for key in view.keys]
    times = [key for key in view.keys if view.columns[key.column].kind in TIMES]
    parts = [f"count(DISTINCT {quoted(name)}) + CAST(count(*) > count({quoted(name)}) AS INTEGER)" for name in keys]
    parts += [f"coalesce(bool_and(isfinite({quoted(view.names[key])})), true)" for key in times]
    ((rows, *numbers),) = rows_of(cursor, f"SELECT {', '.join(['count(*)', *parts])} FROM {table}")  # noqa: S608
    distinct, is_finite = numbers[: len(keys)], numbers[len(keys) :]
    finite = [key.column for key, is_sure in zip(times, is_finite, strict=True) if is_sure]
    return {"rows": rows, "types": _types(cursor, table), "distinct": _by_name(keys, distinct), "finite": finite}


def _by_name(names: Sequence[str], numbers: Sequence[int]) -> Mapping[str, int]:
    return dict(zip(names, numbers, strict=True))


def _types(cursor: Any, table: str) -> Mapping[str, str]:
    return {row[0]: row[1] for row in rows_of(cursor, f"DESCRIBE SELECT * FROM {table}")}  # noqa: S608


def _synced(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _remove(new: Path) -> None:
    for path in (new, Path(f"{new}.wal")):
        path.unlink(missing_ok=True)
