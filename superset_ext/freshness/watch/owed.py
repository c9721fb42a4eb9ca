"""The stamps that a listener owes: a stamp that fails stays owed until it succeeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.watch.watched import Name
from superset_ext.sqltables.table import Table


class Stamp(Protocol):
    """A function that stamps tables; it may raise `StoreUnavailable`, and is called from any thread."""

    def __call__(self, tables: Collection[SourceTable], again: bool) -> None:
        """
        Args:
            tables: of one database: what changed, and what that is a part of.
            again: whether this repeats the stamp of a change that was stamped before.
        """
        ...


Beat = Callable[[int, Collection[Name]], None]  # the id of a database, and the tables there whose changes are heard


def unsaid(_database_id: int, _names: Collection[Name]) -> None:
    """A beat that nobody wants to hear."""


class OwedStamps:
    """The tables of one database that are to be stamped.

    Args:
        database_id: Superset's id of the database.
        stamp: stamps tables.
    """

    def __init__(self, database_id: int, stamp: Stamp) -> None:
        self._database_id = database_id
        self._stamp = stamp
        self._names: dict[bool, set[Name]] = {False: set(), True: set()}  # by `again`
        self._unheard: set[Name] = set()

    def __bool__(self) -> bool:
        return any(self._names.values())

    def owe(self, names: Iterable[Name], again: bool = False, unheard: bool = False) -> None:
        """Stamp these tables soon.

        Args:
            names: the tables.
            again: as in `Stamp`.
            unheard: whether nobody said that they changed, while nobody could have been heard.
        """
        owed = set(names)
        if unheard:
            self._unheard |= owed - self._names[False]
        elif not again:
            self._unheard -= owed
        self._names[again] |= owed

    def pay(self, part_of: Mapping[Name, Collection[Name]]) -> None:
        """Stamp what is owed, and the tables that it is a part of."""
        self._names[True] -= self._names[False]
        for again, names in self._names.items():
            if names:
                try:
                    self._stamp(self._tables(names, part_of), again)
                except StoreUnavailable as error:
                    warn("watch.stamp", "a change of data could not be stamped, and is tried again: %s", error)
                    return
                self._unheard -= names
                names.clear()

    def _tables(self, names: Collection[Name], part_of: Mapping[Name, Collection[Name]]) -> list[SourceTable]:
        whole = _with_wholes(names, part_of)
        heard = _with_wholes(set(names) - self._unheard, part_of)
        return [SourceTable(self._database_id, Table(*name), unheard=name not in heard) for name in sorted(whole)]


def _with_wholes(names: Collection[Name], part_of: Mapping[Name, Collection[Name]]) -> set[Name]:
    return {name for changed in names for name in (changed, *part_of.get(changed, ()))}
