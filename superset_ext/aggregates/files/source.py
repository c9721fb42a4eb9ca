"""The aggregates of a DuckDB source: planned, built, brought up to date, compared, listed and dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from superset_ext.aggregates.files.anchor import anchor, unopened
from superset_ext.aggregates.files.bases import bases_of
from superset_ext.aggregates.files.catalogue import Entry, entries, entry_of, named, new_entry, write
from superset_ext.aggregates.files.making import clear, remade, remove_rows, statements
from superset_ext.aggregates.files.place import Place, place_of, protect_again
from superset_ext.aggregates.files.session import Session, connected, explained, reading, rows_of
from superset_ext.aggregates.files.turn import alone
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.tables.checking import Checked, text
from superset_ext.aggregates.tables.definition import Definition, Upkeep, named_base, refuse_unstorable, view_of
from superset_ext.aggregates.tables.renewing import Refreshed
from superset_ext.aggregates.view import Measure, View
from superset_ext.core.amount import amount
from superset_ext.errors import AggregateError
from superset_ext.plans.rewrite.catalogue.duckdb import DuckDB

_NEW = "superset_ext_new"  # what the new file is called where statements are shown
_TIMES = 2
_FLOATS = ("DOUBLE", "FLOAT")


class DuckDBSource:
    """See `Source`; one of Superset's databases, detached.

    Attributes:
        place: where its aggregates lie.

    Raises:
        AggregateError: it is no file here.
    """

    upkeep: Upkeep = "schedule"

    def __init__(self, database: Any) -> None:
        self._database = database
        self.place: Place = place_of(database.url_object.database)

    @contextmanager
    def connected(self) -> Iterator[tuple[Any, Session]]:
        """A cursor of a connection as Superset has it, and what that is; see `session.connected`."""
        with connected(self._database, self.place) as pair:
            yield pair

    def path(self, schema: str | None) -> tuple[str, ...]:
        """See `Source`. Superset sets no schema in DuckDB, so names are looked up where each session does."""
        with self.connected() as (_, session):
            if schema not in (None, session.schema):
                raise AggregateError(f"Superset has DuckDB look names up in {session.schema!r}; write {schema}.table")
            return (session.schema,)

    def view_of(self, sql: str, path: Sequence[str]) -> View:
        """See `Source`."""
        with self.connected() as (cursor, _), reading(cursor):
            return view_of(sql, DuckDB(lambda query, values: rows_of(cursor, query, values)), "unnamed")

    def planned(self, definition: Definition) -> tuple[Definition, list[str]]:
        """See `Source`."""
        if definition.upkeep != "schedule":
            raise AggregateError(
                "DuckDB has no triggers, so all of it is made anew where the file has changed; take schedule"
            )
        refuse_unstorable(definition.view)
        with self.connected() as (cursor, session), reading(cursor):
            definition = _settled(cursor, session, definition)
        self._refuse_known(definition)
        return definition, statements(definition, _NEW)

    def build(self, definition: Definition, lock_seconds: float) -> Refreshed:
        """See `Source`. Nobody waits for it, and it for nobody."""
        with alone(self.place, definition.name) as now_ns:
            self._refuse_known(definition)
            entry = remade(self.connected, self.place, new_entry(definition), now_ns)
        return _as_refreshed(entry)

    def refresh(self, name: str, whole: bool) -> Refreshed:
        """See `Source`."""
        entry = self._ready(name)
        if entry.is_exact(self.place) and not whole:
            return Refreshed(name, "nothing")
        with alone(self.place, name) as now_ns:
            entry = self._ready(name)
            try:
                return _as_refreshed(remade(self.connected, self.place, entry, now_ns))
            except AggregateError as error:
                self._write(replace(entry, reason=str(error)))
                raise

    def check(self, name: str) -> Checked:
        """See `Source`."""
        checked = Checked(name, 0)
        for _ in range(_TIMES):
            self.refresh(name, whole=False)
            with alone(self.place, name) as now_ns:
                entry = self._ready(name)
                checked = self._compared(entry, now_ns)
                if not checked.differences:
                    self._write(replace(entry, checked_at=time.time()))
                    return checked
        reason = f"{amount(checked.differences, 'row')} differed from its base when all of it was compared"
        self._write(replace(entry, state="off", reason=reason, checked_at=time.time()))
        return checked

    def drop(self, name: str, lock_seconds: float) -> None:
        """See `Source`. Who reads it can go on."""
        named(self.place, name)
        self._drop(name)
        self._leave()

    def drop_all(self) -> list[str]:
        """See `Source`."""
        names = [entry.name for entry, _ in entries(self.place)]
        left = [path.stem for path in self.place.folder.glob("*.lock")]  # of builds that were broken off
        for name in sorted({*names, *left}):
            self._drop(name)
        self._leave()
        return names

    def kept(self) -> list[Kept]:
        """See `Source`. Upkeep asks for this twice a minute, so files follow the rights of the source's here."""
        protect_again(self.place)
        return [kept for _, kept in entries(self.place)]

    def _drop(self, name: str) -> None:
        with alone(self.place, name):
            self.place.entry(name).unlink(missing_ok=True)  # first: nobody reads it from now on
            remove_rows(self.place, name)
            clear(self.place, name)
            self.place.lock(name).unlink()

    def _leave(self) -> None:
        with suppress(OSError):  # something is in it, or it is not there
            self.place.folder.rmdir()

    def _ready(self, name: str) -> Entry:
        entry = named(self.place, name)
        if entry.state != "ready":
            raise AggregateError(f"the aggregate {name} is {entry.state}: {entry.reason}")
        return entry

    def _refuse_known(self, definition: Definition) -> None:
        if entry_of(self.place, definition.name) is not None:
            raise AggregateError(
                f"there is an aggregate {definition.name} already; drop it first, or give another --name"
            )
        for one in self.kept():
            if one.state == "ready" and one.definition.digest == definition.digest:
                raise AggregateError(f"the aggregate {one.name} has the same rows already")

    def _write(self, entry: Entry) -> None:
        try:
            write(self.place, entry)
        except OSError as error:
            raise AggregateError(f"{self.place.entry(entry.name)} cannot be written ({error.strerror})") from None

    def _compared(self, entry: Entry, now_ns: Callable[[], int]) -> Checked:
        definition = entry.definition(self.place)
        unopened(self.place.file, now_ns)
        columns, left_out = _columns(definition)
        with self.connected() as (cursor, _), reading(cursor):
            ((differences,),) = _asked(cursor, text(definition, columns))
        if anchor(self.place.file) != entry.anchor:
            raise AggregateError("its file was changed meanwhile, so that nothing was compared; try again")
        return Checked(entry.name, differences, left_out)


def _asked(cursor: Any, sql: str) -> list[Sequence[Any]]:
    try:
        return rows_of(cursor, sql)
    except Exception as error:  # noqa: BLE001  (of the driver, whichever it is)
        raise explained(error) from None


def _settled(cursor: Any, session: Session, definition: Definition) -> Definition:
    """A definition with its base as the source has it."""
    table = named_base(definition.view)
    bases = bases_of(cursor, definition.settled_view.relation, session.schema)
    return replace(definition, base=None if table is None else bases[0][:2])


def _columns(definition: Definition) -> tuple[list[str], tuple[str, ...]]:
    names = definition.view.names
    loose = tuple(names[one] for one in names
                  if isinstance(one, Measure) and one.function == "sum" and one.type in _FLOATS)  # fmt: skip
    return [name for name in names.values() if name not in loose], loose


def _as_refreshed(entry: Entry) -> Refreshed:
    return Refreshed(entry.name, "whole", groups=entry.rows or 0, seconds=entry.seconds or 0.0)
