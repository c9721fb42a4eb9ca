"""Brings an aggregate up to date: of what its notes name, of the end of time, or all of it.

**What is kept true.** In every snapshot, each group in which an aggregate differs from its base is named by a note that
this snapshot sees. So an aggregate is exact where no note is seen.

**Why.** A statement that changes a group leaves a note in the same transaction: whoever sees the change sees the note.
A refresh is one transaction with one snapshot. It takes the notes that it sees, and makes those groups anew from the
base as it sees it. A snapshot that sees the refresh sees all that the refresh saw, since that had been committed
before. What else it sees was not seen by the refresh, so neither were its notes, and they are still there.

**What leaves no note** is a change of the tables themselves: parts come and go, a table is made anew under the name, a
column is retyped, a trigger is switched off. All of these change the *anchor*, a text about rows of the source's
catalogue, which is compared in the same snapshot. The triggers that are missing are made first then, in a transaction
of their own: it waits for those who write. After that, all of the aggregate is made anew. A part may be attached in
between; there is no anchor while a part has no triggers, and nothing is exact without one.

A table is made beside and then swapped in, by name. A snapshot from before that would see the new table as empty; but
it sees the catalogue as it was, with the number of the old table, and so knows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg2

from superset_ext.aggregates.tables import making
from superset_ext.aggregates.tables.catalogue import Kept, named
from superset_ext.aggregates.tables.definition import Definition, full
from superset_ext.aggregates.tables.region import Noted, taken
from superset_ext.aggregates.tables.rights import base_of
from superset_ext.aggregates.tables.transaction import SourceRefused, transaction
from superset_ext.aggregates.view import quoted
from superset_ext.errors import AggregateError

SHARE = 0.25  # of the base's rows that may have to be read again; beyond, all of it is made anew
SWAP_SECONDS = 1.0  # that a swap waits for readers; others wait behind it
_TURN = "SELECT pg_try_advisory_xact_lock(hashtextextended('superset_ext_aggregates.' || %s, 0))"
_ANCHOR = """
SELECT superset_ext_aggregates.anchor(c), c.base_name IS NULL OR EXISTS (
    SELECT FROM superset_ext_aggregates.members(c.base_schema, c.base_name)
) FROM superset_ext_aggregates.catalogue c WHERE name = %s
"""
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
_OFF = "UPDATE superset_ext_aggregates.catalogue SET state = 'off', reason = %s WHERE name = %s"
_REASON = "UPDATE superset_ext_aggregates.catalogue SET reason = %s WHERE name = %s AND state = 'ready'"
# What does not pass by itself: names and types are others, rights are gone, or numbers do not fit.
_LASTING = ("42", "22", "54", "SX")

How = Literal["nothing", "groups", "tail", "whole"]


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        notes: how many it took.
        groups: how many it made anew.
    """

    name: str
    how: How
    notes: int = 0
    groups: int = 0
    seconds: float = 0.0


class Busy(AggregateError):
    """Another run is at this aggregate."""


def refresh(connection: Any, name: str, whole: bool = False) -> Refreshed:
    """Bring an aggregate up to date.

    Args:
        connection: of psycopg2, with the role that built it.
        whole: make all of it anew, whatever has changed.

    Raises:
        Busy: another run is at it.
        AggregateError: there is none, it is off, or it cannot be refreshed; the reason is written down, and where it
            will not pass by itself the aggregate is switched off.
    """
    with transaction(connection) as cursor:
        one = named(cursor, name)
    if one.state != "ready":
        raise AggregateError(f"the aggregate {name} is {one.state}: {one.reason or 'its build has not ended'}")
    try:
        _mend(connection, one)
        return refreshed(connection, one.definition, whole)
    except Busy:
        raise
    except AggregateError as error:
        _write_reason(connection, one, error)
        raise
    except psycopg2.Error as error:  # the connection was lost between two statements
        raise AggregateError(f"the source was lost: {type(error).__name__}") from None


def refreshed(connection: Any, definition: Definition, whole: bool) -> Refreshed:
    """Bring an aggregate up to date, in one transaction.

    Raises:
        Busy: another run is at it.
        AggregateError: the source refused.
    """
    with transaction(connection, definition.path, base=source(definition)) as cursor:
        return refresh_within(cursor, definition, whole)


def refresh_within(cursor: Any, definition: Definition, whole: bool) -> Refreshed:
    """The same within a transaction that sees one snapshot, in which the aggregate is exact afterwards."""
    began = time.monotonic()
    cursor.execute(_TURN, (definition.name,))
    if not cursor.fetchone()[0]:
        raise Busy(f"another run is at the aggregate {definition.name}")
    one = named(cursor, definition.name)
    definition = one.definition
    cursor.execute(_ANCHOR, (one.name,))
    anchor, is_there = cursor.fetchone()
    if not is_there:
        raise SourceRefused(f"its table {source(definition)} is gone", "42P01")
    done = _Refresh(cursor, one, anchor, began)
    noted = taken(cursor, definition) if definition.upkeep == "notes" else Noted(0, False)
    if whole or noted.everything or anchor != one.anchor or definition.upkeep == "schedule":
        return done.whole(noted.notes)
    if definition.upkeep == "tail":
        return done.tail()
    return done.groups(noted) if noted.notes else done.nothing()


class _Refresh:
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
        for statement in making.statements(self.definition, self.cursor.connection.server_version):
            self.cursor.execute(statement)
        self._put_in_place()
        rows, distinct = making.counted(self.cursor, self.definition)
        return self._done("whole", notes, rows, rows, distinct, making.types_of(self.cursor, self.definition.table))

    def groups(self, noted: Noted) -> Refreshed:
        """Make the groups anew that were noted; all of it, where these are a large share of the base."""
        if not noted.conditions:
            return self.whole(noted.notes)
        inside, rows, *present = self._measured(noted)
        if inside > SHARE * rows:
            return self.whole(noted.notes)
        distinct = self._at_most(noted, present)
        return self._replaced("groups", noted.notes, noted.base, noted.table, distinct)

    def _at_most(self, noted: Noted, present: Sequence[int]) -> dict[str, int] | None:
        """How many values each key has at most: those that it had, and those noted that were not there before. `None`
        where that has to be counted."""
        exact = [one for one in noted.conditions if one.is_exact]
        if len(exact) < len(self.definition.view.keys):
            return None
        distinct = dict(self.one.view.distinct)
        for condition, there in zip(noted.conditions, present, strict=True):
            distinct[condition.name] += condition.values - there
        return distinct

    def _measured(self, noted: Noted) -> list[int]:
        """Rows of the base in these groups before, and in all; and how many of each key's values were there already."""
        parts = [f"coalesce(sum(n) FILTER (WHERE {noted.table}), 0)", "coalesce(sum(n), 0)"]
        for one in noted.conditions:
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
        return self._replaced("tail", 0, later.format(quoted(key.column)), later.format(quoted(name)), None)

    def _replaced(self, how: How, notes: int, base: str, table: str, distinct: Mapping[str, int] | None) -> Refreshed:
        """Make the groups of a part anew where they stand."""
        name = self.definition.table
        self.cursor.execute(f"DELETE FROM {name} WHERE {table}")  # noqa: S608
        gone = self.cursor.rowcount
        self.cursor.execute(f"INSERT INTO {name} {self.definition.select(base)}")
        came = self.cursor.rowcount
        if distinct is None:
            distinct = making.counted(self.cursor, self.definition)[1]
        return self._done(how, notes, came, (self.one.view.rows or 0) - gone + came, distinct, None)

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


def _mend(connection: Any, one: Kept) -> None:
    """Where the base is not what it was, see whether it may still be read, and make the triggers that are missing.

    Raises:
        AggregateError: it may not, or they cannot be made.
    """
    if one.definition.base is None:
        return
    with transaction(connection) as cursor:
        cursor.execute(_ANCHOR, (one.name,))
        anchor, _ = cursor.fetchone()
        if anchor is not None and anchor == one.anchor:
            return
        base = base_of(cursor, source(one.definition))
        if one.definition.upkeep == "notes":
            if base.untold:
                raise AggregateError(f"changes cannot be noted any more: {base.untold}")
            cursor.execute("SELECT superset_ext_aggregates.attach(%s)", (one.name,))


def switch_off(connection: Any, name: str, reason: str) -> None:
    """Nobody reads an aggregate from now on, until it is built anew."""
    with transaction(connection) as cursor:
        cursor.execute(_OFF, (reason, name))


def _write_reason(connection: Any, one: Kept, error: AggregateError) -> None:
    """Say why; and switch off what will not be right again by itself. A table that is gone may be made anew: what is
    noted is not exact meanwhile, and nobody can know of the others."""
    if connection.closed:
        return
    state = error.sqlstate if isinstance(error, SourceRefused) else "42"
    passes = state[:2] not in _LASTING or (state == "42P01" and one.definition.upkeep == "notes")
    with transaction(connection) as cursor:
        cursor.execute(_REASON if passes else _OFF, (str(error), one.name))


def source(definition: Definition) -> str:
    """The table that an aggregate is made of, as SQL; empty where it is made of a query."""
    return "" if definition.base is None else ".".join(map(quoted, definition.base))
