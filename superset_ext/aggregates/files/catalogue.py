"""What is known of each aggregate of a DuckDB source: a file beside its rows, which says which of them count.

It is put in place by one rename, so that whoever reads it sees it whole. Rows that none names are no aggregate.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from superset_ext.aggregates.files.anchor import anchor
from superset_ext.aggregates.files.bases import ENGINE
from superset_ext.aggregates.files.place import Place, is_ours, protect
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.tables.definition import SCHEMA, Definition, restored, stored
from superset_ext.aggregates.view import View, quoted
from superset_ext.compat import UTC
from superset_ext.errors import AggregateError

_MOST_BYTES = 1 << 20  # of a file that says what is known of an aggregate


@dataclass(frozen=True)
class Entry:
    """An aggregate, as plain data.

    Attributes:
        view: see `definition.stored`.
        path: where names without a schema were looked up.
        base: schema and name of its table; `None` where it is made of a query.
        bases: schema, name and statement of each table that it is made of.
        settings, database, zone: of the session that has made it.
        state: `ready`, or `off` for `reason`. A refresh that failed for a while leaves a reason too.
        version: counts its refreshes.
        anchor: of the source's file when it was made; see `anchor`.
        stamp: of the file of its rows: inode, bytes, and when it was written and changed (ns since 1970).
        token: in the names of its files, so that no later aggregate of its name has the same.
        as_of, built_at, refreshed_at, checked_at: seconds since 1970.
        seconds: that its last refresh took.
        finite: columns of time without an infinite value.
    """

    name: str
    view: Mapping[str, Any]
    path: Sequence[str]
    base: Sequence[str] | None
    filters: Sequence[str]
    every_seconds: int
    bases: Sequence[Sequence[str]] = ()
    settings: str = ""
    database: str = ""
    zone: str = ""
    state: str = "ready"
    reason: str = ""
    version: int = 0
    token: str = ""
    anchor: str | None = None
    stamp: Sequence[int] = ()
    as_of: float | None = None
    seconds: float | None = None
    rows: int | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    distinct: Mapping[str, int] = field(default_factory=dict)
    finite: Sequence[str] = ()
    built_at: float | None = None
    refreshed_at: float | None = None
    checked_at: float | None = None

    def file(self, place: Place) -> Path:
        """Of its rows. DuckDB takes two files of one name for the same while the first one is read."""
        return place.rows(self.name, self.version, self.token)

    def definition(self, place: Place) -> Definition:
        """What it is made of, with the view that answers statements."""
        view = restored(self.name, self.view, self.types, self.rows, self.distinct, ENGINE)
        view = View(
            ENGINE, view.relation, table_of(self.file(place)), view.keys, view.measures, view.columns,
            view.rows, view.distinct, frozenset(self.finite),
        )  # fmt: skip
        base = None if self.base is None else (self.base[0], self.base[1])
        return Definition(
            self.name, view, tuple(self.path), base, tuple(self.filters), "schedule", self.every_seconds
        )  # fmt: skip

    def is_exact(self, place: Place) -> bool:
        """Whether it has what its query gives, for all that is committed at this moment."""
        is_whole = self.state == "ready" and stamp_of(self.file(place)) == [*self.stamp]
        return is_whole and self.anchor is not None and self.anchor == anchor(place.file)

    def kept(self, place: Place) -> Kept:
        """As the aggregates of other engines are known."""
        age = None if self.as_of is None else max(0.0, time.time() - self.as_of)
        size = self.stamp[1] if self.stamp else None
        return Kept(
            self.definition(place), self.state, self.reason, self.version, _moment(self.as_of), self.is_exact(place),
            self.anchor, age, size, self.seconds, _moment(self.built_at), _moment(self.refreshed_at),
            _moment(self.checked_at),
        )  # fmt: skip


def table_of(file: Path) -> str:
    """What stands for its table in a statement: nothing is attached for that, which others could see."""
    path = str(file).replace("'", "''")
    return f"system.main.read_duckdb('{path}')"


def own_table(name: str) -> str:
    """Its table within its file, as SQL."""
    return f"{SCHEMA}.{quoted(name)}"


def new_entry(definition: Definition) -> Entry:
    """What is known of an aggregate before its first rows are made."""
    return Entry(
        definition.name, stored(definition.view), definition.path, definition.base, definition.filters,
        definition.every_seconds, token=secrets.token_hex(4),
    )  # fmt: skip


def entries(place: Place) -> list[tuple[Entry, Kept]]:
    """All aggregates of a source, by name, and as those of other engines are known; none where there is no folder."""
    names = sorted(path.stem for path in place.folder.glob("*.json"))
    all_entries = [entry for name in names if (entry := entry_of(place, name)) is not None]
    return [(entry, kept) for entry in all_entries if (kept := _readable(entry, place)) is not None]


def _readable(entry: Entry, place: Place) -> Kept | None:
    """See `Entry.kept`; `None` where what is said of an aggregate is not of the kinds that it has to be."""
    try:
        return entry.kept(place)
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError, AggregateError):
        return None


def entry_of(place: Place, name: str) -> Entry | None:
    """What is known of an aggregate; `None` where there is none, or where others may have written what lies there."""
    if not is_ours(place):
        return None
    try:
        entry = Entry(**json.loads(_text(place.entry(name))))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return entry if entry.name == name else None


def _text(path: Path) -> str:
    """What is in a file of ours.

    Raises:
        OSError: it is none, or too large to be one.
    """
    there = path.stat()
    if not stat.S_ISREG(there.st_mode) or there.st_size > _MOST_BYTES:
        raise OSError(f"{path} is no file of ours")
    return path.read_text(encoding="utf-8")


def named(place: Place, name: str) -> Entry:
    """The aggregate of a name.

    Raises:
        AggregateError: there is none.
    """
    entry = entry_of(place, name)
    if entry is None:
        raise AggregateError(f"there is no aggregate {name}; see: superset perf aggregates list")
    return entry


def write(place: Place, entry: Entry) -> None:
    """Put what is known of an aggregate in place.

    Raises:
        OSError: it cannot be written.
    """
    new = place.folder / f".{entry.name}.entry.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(asdict(entry), file)
        file.flush()
        os.fsync(file.fileno())
    protect(new, place.file)
    new.replace(place.entry(entry.name))


def stamp_of(path: Path) -> list[int]:
    """What changes with a file that is put in place of another one; empty where there is none."""
    try:
        there = path.stat()
    except OSError:
        return []
    return [there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns]


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
