"""The work of a refresh, within its transaction: nothing, what notes add up to, the end of time, or all of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import psycopg2

from superset_ext.aggregates.tables import making
from superset_ext.aggregates.tables.adding import Taken, added, delta, put_beside
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.tables.definition import full
from superset_ext.aggregates.tables.region import Region, region
from superset_ext.aggregates.tables.transaction import SourceRefused
from superset_ext.aggregates.view import quoted

SHARE = 0.25  # of the base's rows that may have to be read again; beyond, all of it is made anew
BESIDE_SHARE, BESIDE_LEAST = 0.25, 1000  # of an aggregate's groups, that are not changed in their places
SWAP_SECONDS = 1.0  # that a swap waits for readers; others wait behind it
_DONE = """
UPDATE superset_ext_aggregates.catalogue SET
    state = 'ready', reason = '', version = version + 1, as_of = now(), seen = pg_current_snapshot(),
    relation = to_regclass(%(table)s)::oid, bytes = pg_total_relation_size(to_regclass(%(table)s)),
    anchor = %(anchor)s, rows = %(rows)s, types = coalesce(%(types)s, types), distinct_values = %(distinct)s,
    seconds = %(seconds)s, refreshed_at = clock_timestamp(), built_at = coalesce(built_at, clock_timestamp())
WHERE name = %(name)s
"""
_STILL = """
UPDATE superset_ext_aggregates.catalogue SET as_of = now(), seen = pg_current_snapshot(), reason = ''
WHERE name = %(name)s
"""

How = Literal["nothing", "groups", "tail", "whole"]


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        notes: how many it took.
        groups: how many it changed or made anew.
        read: how many of these were read from the base.
    """

    name: str
    how: How
    notes: int = 0
    groups: int = 0
    seconds: float = 0.0
    read: int = 0


class Renewal:
    """A refresh under way.

    Args:
        anchor: of its snapshot.
        began: by the monotonic clock.
    """

    def __init__(self, cursor: Any, one: Kept, anchor: str | None, began: float) -> None:
        self.cursor, self.one, self.definition = cursor, one, one.definition
        self.anchor, self.began = anchor, began

    def nothing(self) -> Refreshed:
        """No group has changed."""
        self.cursor.execute(_STILL, {"name": self.one.name})
        return Refreshed(self.one.name, "nothing", seconds=time.monotonic() - self.began)

    def whole(self, notes: int) -> Refreshed:
        """Make all of it anew, beside what is there, and put it in its place."""
        self.cursor.execute(f"DROP TABLE IF EXISTS {delta(self.one.name)}")
        for statement in making.statements(self.definition, self.cursor.connection.server_version):
            self.cursor.execute(statement)
        self._put_in_place()
        rows, distinct = making.counted(self.cursor, self.definition)
        return self._done("whole", notes, rows, rows, distinct, making.types_of(self.cursor, self.definition.table))

    def groups(self, noted: Taken) -> Refreshed:
        """Add up what was noted, and read the groups of which that does not say enough; make all of it anew, where this
        is a large share of the base."""
        if not noted.read:
            return self._added(noted)
        part = region(self.cursor, self.definition)
        if not part.conditions:
            return self.whole(noted.notes)
        inside, rows, *present = self._measured(part)
        if inside > SHARE * rows:
            return self.whole(noted.notes)
        more, values = added(self.cursor, self.definition)
        gone, came = self._replaced(part.base, part.table)
        distinct = self._at_most(part, present, values) or making.counted(self.cursor, self.definition)[1]
        return self._grouped(noted, more - gone + came, distinct)

    def _added(self, noted: Taken) -> Refreshed:
        rows = self.one.view.rows or 0
        if noted.groups >= max(BESIDE_LEAST, BESIDE_SHARE * rows):
            now, values = self._put_beside()
            more = now - rows
        else:
            more, values = added(self.cursor, self.definition)
        distinct = {name: number + values[name] for name, number in self.one.view.distinct.items()}
        return self._grouped(noted, more, distinct)

    def _put_beside(self) -> tuple[int, dict[str, int]]:
        """Make the table anew from itself and from what was noted, and put it in its place."""
        rows, values = put_beside(self.cursor, self.definition)
        for statement in making.finished(self.definition, self.cursor.connection.server_version):
            self.cursor.execute(statement)
        self._put_in_place()
        return rows, values

    def _grouped(self, noted: Taken, more: int, distinct: Mapping[str, int]) -> Refreshed:
        self.cursor.execute(f"DROP TABLE {delta(self.one.name)}")
        rows = (self.one.view.rows or 0) + more
        done = self._done("groups", noted.notes, noted.groups, rows, distinct, None)
        return replace(done, read=noted.read)

    def _at_most(self, part: Region, present: Sequence[int], values: Mapping[str, int]) -> dict[str, int] | None:
        """How many values each key has at most: those that it had, and those noted that were not there before. `None`
        where that has to be counted."""
        exact = [one for one in part.conditions if one.is_exact]
        if len(exact) < len(self.definition.view.keys):
            return None
        distinct = {name: number + values[name] for name, number in self.one.view.distinct.items()}
        for condition, there in zip(part.conditions, present, strict=True):
            distinct[condition.name] += condition.values - there
        return distinct

    def _measured(self, part: Region) -> list[int]:
        """Rows of the base in these groups before, and in all; and how many of each key's values were there already."""
        parts = [f"coalesce(sum(n) FILTER (WHERE {part.table}), 0)", "coalesce(sum(n), 0)"]
        for one in part.conditions:
            name = quoted(one.name)
            where = f"FILTER (WHERE {one.table})"
            parts.append(f"count(DISTINCT {name}) {where} + coalesce(max(({name} IS NULL)::integer) {where}, 0)")
        self.cursor.execute(f"SELECT {', '.join(parts)} FROM {self.definition.table}")  # noqa: S608
        return list(map(int, self.cursor.fetchone()))

    def tail(self) -> Refreshed:
        """Make the groups at the end of time anew, and those without a time."""
        view, name = self.definition.view, self.definition.tail or ""
        key = next(one for one in view.keys if view.names[one] == name)
        cut = f"max({quoted(name)}) - make_interval(secs => %s)"
        cut = cut if key.unit is None else f"date_trunc('{key.unit}', {cut})"
        self.cursor.execute(
            f"SELECT ({cut})::text FROM {self.definition.table} WHERE isfinite({quoted(name)})",  # noqa: S608
            (self.definition.late_seconds,),
        )
        (begin,) = self.cursor.fetchone()
        if begin is None:
            return self.whole(0)
        later = f"{{0}} >= '{begin}' OR {{0}} IS NULL"
        gone, came = self._replaced(later.format(quoted(key.column)), later.format(quoted(name)))
        distinct = making.counted(self.cursor, self.definition)[1]
        return self._done("tail", 0, came, (self.one.view.rows or 0) - gone + came, distinct, None)

    def _replaced(self, base: str, table: str) -> tuple[int, int]:
        """Make the groups of a part anew where they stand; how many rows went and came."""
        name = self.definition.table
        self.cursor.execute(f"DELETE FROM {name} WHERE {table}")  # noqa: S608
        gone = self.cursor.rowcount
        self.cursor.execute(f"INSERT INTO {name} {self.definition.select(base)}")
        return gone, self.cursor.rowcount

    def _done(
        self, how: How, notes: int, groups: int, rows: int, distinct: Mapping[str, int],
        types: Mapping[str, str] | None,
    ) -> Refreshed:  # fmt: skip
        seconds = time.monotonic() - self.began
        self.cursor.execute(_DONE, {
            "name": self.one.name, "table": self.definition.table, "anchor": self.anchor, "rows": rows,
            "distinct": json.dumps(distinct), "types": None if types is None else json.dumps(types), "seconds": seconds,
        })  # fmt: skip
        return Refreshed(self.one.name, how, notes, groups, seconds)

    def _put_in_place(self) -> None:
        """Swap the new table in; while readers hold the old one, put the new rows there instead."""
        name = self.one.name
        self.cursor.execute("SAVEPOINT swap")
        try:
            self.cursor.execute(f"SET LOCAL lock_timeout = {int(SWAP_SECONDS * 1000)}")
            self.cursor.execute("SELECT superset_ext_aggregates.swap(%s)", (name,))
        except psycopg2.Error as error:
            if error.pgcode is None:
                raise
            self.cursor.execute("ROLLBACK TO SAVEPOINT swap")
            self._put_rows_in_place()

    def _put_rows_in_place(self) -> None:
        table, new = self.definition.table, full(f"new_{self.one.name}")
        if making.types_of(self.cursor, table) != making.types_of(self.cursor, new):
            raise SourceRefused("its columns have other types now, and it is being read all the time", "55P03")
        self.cursor.execute(f"DELETE FROM {table}")  # noqa: S608
        self.cursor.execute(f"INSERT INTO {table} SELECT * FROM {new}")  # noqa: S608
        self.cursor.execute(f"DROP TABLE {new}")
