"""Brings an aggregate up to date: of what its notes name, of the end of time, or all of it.

**What is kept true.** In every snapshot, an aggregate's rows and what the notes that this snapshot sees say of them are
together what its query gives. So an aggregate is exact where no note is seen.

**Why.** A statement leaves notes of what it changed in the same transaction: whoever sees the change sees the notes. A
refresh is one transaction with one snapshot. It takes the notes that it sees, and adds just these up (`adding`); groups
of which they do not say enough, and all of it where that is cheaper, are made anew from the base as it sees it. A
snapshot that sees the refresh sees all that the refresh saw, since that had been committed before. What else it sees
was not seen by the refresh, so neither were its notes, and they are still there. So each change counts once: it is in
what the refresh read, or its note was added, or its note is still there.

**What leaves no note** is a change of the tables themselves: parts come and go, a table is made anew under the name, a
column is retyped, a trigger is switched off. All of these change the *anchor*, a text about rows of the source's
catalogue, which is compared in the same snapshot. The triggers that are missing are made first then, in a transaction
of their own: it waits for those who write. Notes whose columns have other types by now are made anew there. After that,
all of the aggregate is made anew. A part may be attached in between; there is no anchor while a part has no triggers,
and nothing is exact without one. A column may be retyped in between: then the anchor is another one than at the end of
that transaction, none is written down, and the next refresh does both again.

Where nobody takes notes, a trigger ends their being written (`mute`), by putting a function that does nothing in the
place of the one that notes. Its version is in the anchor, and whoever runs the new one commits after it was put there:
who sees a change without a note sees another anchor. It is put back once all have ended who might have run it.

A table is made beside and then swapped in, by name. A snapshot from before that would see the new table as empty; but
it sees the catalogue as it was, with the number of the old table, and so knows.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg2

from superset_ext.aggregates.tables import notes
from superset_ext.aggregates.tables.adding import Taken, taken
from superset_ext.aggregates.tables.catalogue import Kept, named
from superset_ext.aggregates.tables.definition import Definition
from superset_ext.aggregates.tables.renewing import Refreshed, Renewal
from superset_ext.aggregates.tables.rights import base_of, unnoted
from superset_ext.aggregates.tables.transaction import SourceRefused, transaction
from superset_ext.aggregates.view import quoted
from superset_ext.errors import AggregateError

_TURN = "SELECT pg_try_advisory_xact_lock(hashtextextended('superset_ext_aggregates.' || %s, 0))"
_ANCHOR = """
SELECT superset_ext_aggregates.anchor(c), c.base_name IS NULL OR EXISTS (
    SELECT FROM superset_ext_aggregates.members(c.base_schema, c.base_name)
) FROM superset_ext_aggregates.catalogue c WHERE name = %s
"""
_MEMORY = "SET LOCAL work_mem = '64MB'"
_OFF = "UPDATE superset_ext_aggregates.catalogue SET state = 'off', reason = %s WHERE name = %s"
_REASON = "UPDATE superset_ext_aggregates.catalogue SET reason = %s WHERE name = %s AND state = 'ready'"
# What does not pass by itself: names and types are others, rights are gone, or numbers do not fit.
_LASTING = ("42", "22", "54", "SX")


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
        return refreshed(connection, one.definition, whole, _mend(connection, one))
    except Busy:
        raise
    except AggregateError as error:
        _write_reason(connection, one, error)
        raise
    except psycopg2.Error as error:  # the connection was lost between two statements
        raise AggregateError(f"the source was lost: {type(error).__name__}") from None


def refreshed(connection: Any, definition: Definition, whole: bool, mended: str | None) -> Refreshed:
    """Bring an aggregate up to date, in one transaction.

    Args:
        mended: what the base and our triggers were when it was last seen to that changes are noted as they are.

    Raises:
        Busy: another run is at it.
        AggregateError: the source refused.
    """
    with transaction(connection, definition.path, base=source(definition)) as cursor:
        return refresh_within(cursor, definition, whole, mended)


def refresh_within(cursor: Any, definition: Definition, whole: bool, mended: str | None = None) -> Refreshed:
    """The same within a transaction that sees one snapshot, in which the aggregate is exact afterwards; but for one
    whose base was changed since it was mended, since a column of another type may be noted as the old one."""
    began = time.monotonic()
    _turn(cursor, definition.name)
    one = named(cursor, definition.name)
    definition = one.definition
    cursor.execute(_ANCHOR, (one.name,))
    anchor, is_there = cursor.fetchone()
    if not is_there:
        raise SourceRefused(f"its table {source(definition)} is gone", "42P01")
    is_sure = definition.upkeep != "notes" or anchor in (one.anchor, mended)
    done = Renewal(cursor, one, anchor if is_sure else None, began)
    cursor.execute(_MEMORY)
    whole = whole or anchor != one.anchor or definition.upkeep == "schedule"
    noted = taken(cursor, definition, whole) if definition.upkeep == "notes" else Taken(0, whole)
    if noted.everything:
        return done.whole(noted.notes)
    if definition.upkeep == "tail":
        return done.tail()
    return done.groups(noted) if noted.notes else done.nothing()


def _turn(cursor: Any, name: str) -> None:
    """Until the transaction ends, no other run is at this aggregate."""
    cursor.execute(_TURN, (name,))
    if not cursor.fetchone()[0]:
        raise Busy(f"another run is at the aggregate {name}")


def _mend(connection: Any, one: Kept) -> str | None:
    """Where the base is not what it was, see whether it may still be read, and make the triggers that are missing.

    Returns:
        The anchor under which changes are noted as they are.

    Raises:
        AggregateError: it may not, or they cannot be made.
    """
    if one.definition.base is None:
        return None
    with transaction(connection) as cursor:
        anchor = anchor_of(cursor, one.name)
        if anchor is not None and anchor == one.anchor:
            return anchor
        base = base_of(cursor, source(one.definition))
        if one.definition.upkeep == "notes":
            if why := unnoted(cursor, base, one.definition.base_columns):
                raise AggregateError(f"changes cannot be noted any more: {why}")
            _turn(cursor, one.name)
            notes.renew(cursor, one.definition)
            if notes.is_muted(cursor, one.definition):
                notes.unmute(cursor, one.definition)
            cursor.execute("SELECT superset_ext_aggregates.attach(%s)", (one.name,))
        return anchor_of(cursor, one.name)


def anchor_of(cursor: Any, name: str) -> str | None:
    """What the base of an aggregate and our triggers are, as a transaction sees it."""
    cursor.execute(_ANCHOR, (name,))
    anchor: str | None = cursor.fetchone()[0]
    return anchor


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
