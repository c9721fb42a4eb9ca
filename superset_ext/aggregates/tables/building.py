"""Builds an aggregate on a source, and takes it away again.

First its notes and triggers are made and committed, which waits for those who write, so that no change is missed from
then on; then its rows, in a transaction whose snapshot comes after that. A build that is broken off leaves no rows,
since that transaction is undone, and what it has made before is taken away by the next one: its row says `building`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from superset_ext.aggregates.tables import making, notes
from superset_ext.aggregates.tables.catalogue import begin_text, files, is_installed, kept, named
from superset_ext.aggregates.tables.definition import SCHEMA, Definition, full, refuse_unstorable
from superset_ext.aggregates.tables.refreshing import anchor_of, refreshed
from superset_ext.aggregates.tables.renewing import Refreshed
from superset_ext.aggregates.tables.rights import refuse_role, settled
from superset_ext.aggregates.tables.transaction import LOCK_SECONDS, explained, transaction
from superset_ext.errors import AggregateError

_TURN = "SELECT pg_try_advisory_lock(hashtextextended('superset_ext_aggregates.' || %s, 0))"
_TURN_ENDS = "SELECT pg_advisory_unlock(hashtextextended('superset_ext_aggregates.' || %s, 0))"
_IS_FREE = "SELECT pg_try_advisory_xact_lock(hashtextextended('superset_ext_aggregates.' || %s, 0))"
_FORGET = "DELETE FROM superset_ext_aggregates.catalogue WHERE name = %s"


def planned(connection: Any, definition: Definition) -> tuple[Definition, list[str]]:
    """A definition with its base as the source has it, and the statements that a build would run. Nothing is done.

    Raises:
        AggregateError: it cannot be built; the message says why.
    """
    refuse_unstorable(definition.view)
    with transaction(connection, definition.path) as cursor:
        definition = settled(cursor, definition)
        _refuse_known(cursor, definition)
        return definition, _statements(cursor, definition)


def build(connection: Any, definition: Definition, lock_seconds: float = LOCK_SECONDS) -> Refreshed:
    """Build an aggregate.

    Args:
        connection: of psycopg2, with a role that may.
        lock_seconds: that it waits for those who write to the base; others wait behind it.

    Raises:
        AggregateError: it cannot be built, or another run is at it; nothing is left of it.
    """
    with transaction(connection, definition.path) as cursor:
        refuse_role(cursor)
        if not is_installed(cursor):
            for text in files():
                cursor.execute(text)
    with _alone(connection, definition.name):
        _clear(connection)
        definition, _ = planned(connection, definition)
        try:
            return refreshed(connection, definition, True, _begin(connection, definition, lock_seconds))
        except BaseException:
            if not connection.closed:
                _remove(connection, definition.name, lock_seconds)
            raise


def drop(connection: Any, name: str, lock_seconds: float = LOCK_SECONDS) -> None:
    """Take an aggregate away; with the last one, everything of ours leaves the source.

    Raises:
        AggregateError: there is none, another run is at it, or the source refused.
    """
    with transaction(connection) as cursor:
        named(cursor, name)
    with _alone(connection, name):
        _remove(connection, name, lock_seconds)
    with transaction(connection, lock_seconds=lock_seconds) as cursor:
        if not kept(cursor):
            cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def drop_all(connection: Any) -> list[str]:
    """Take all aggregates of a source away, with everything of ours; their names.

    Raises:
        AggregateError: the source refused.
    """
    with transaction(connection) as cursor:
        names = [one.name for one in kept(cursor)]
    for name in names:
        drop(connection, name)
    if not names:
        with transaction(connection) as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    return names


def _refuse_known(cursor: Any, definition: Definition) -> None:
    for one in kept(cursor):
        if one.state == "building":
            continue
        if one.name == definition.name:
            raise AggregateError(f"there is an aggregate {one.name} already; drop it first, or give another --name")
        if one.definition.digest == definition.digest and one.state == "ready":
            raise AggregateError(f"the aggregate {one.name} has the same rows already")


def _statements(cursor: Any, definition: Definition) -> list[str]:
    made = [] if is_installed(cursor) else [f"-- the files of sql/aggregates, which make the schema {SCHEMA}"]
    if definition.upkeep == "notes":
        made += notes.statements(definition)
        made.append(f"SELECT {SCHEMA}.attach('{definition.name}')")
    made += making.statements(definition, cursor.connection.server_version)
    return [*made, f"SELECT {SCHEMA}.swap('{definition.name}')"]


def _begin(connection: Any, definition: Definition, lock_seconds: float) -> str | None:
    """Make notes and triggers, and write down that the build has begun; what the base and the triggers are then."""
    with transaction(connection, definition.path, lock_seconds) as cursor:
        cursor.execute(*begin_text(definition))
        if definition.upkeep == "notes":
            for statement in notes.statements(definition):
                cursor.execute(statement)
            cursor.execute("SELECT superset_ext_aggregates.attach(%s)", (definition.name,))
        return anchor_of(cursor, definition.name)


def _remove(connection: Any, name: str, lock_seconds: float) -> None:
    with transaction(connection, lock_seconds=lock_seconds) as cursor:
        for statement in notes.drop_statements(name):
            cursor.execute(statement)
        cursor.execute(f"DROP TABLE IF EXISTS {full(name)}")
        cursor.execute(_FORGET, (name,))


def _clear(connection: Any) -> None:
    """Take away what builds that were broken off have left."""
    with transaction(connection) as cursor:
        names = [one.name for one in kept(cursor) if one.state == "building"]
        names = [name for name in names if _is_free(cursor, name)]
    for name in names:
        _remove(connection, name, LOCK_SECONDS)


def _is_free(cursor: Any, name: str) -> bool:
    cursor.execute(_IS_FREE, (name,))
    return bool(cursor.fetchone()[0])


@contextmanager
def _alone(connection: Any, name: str) -> Iterator[None]:
    """Within it, no other run builds, refreshes or drops this aggregate.

    Raises:
        AggregateError: another run is at it.
    """
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(_TURN, (name,))
            if not cursor.fetchone()[0]:
                raise AggregateError(f"another run is at the aggregate {name}")
        try:
            yield
        finally:
            if not connection.closed:
                with connection.cursor() as cursor:
                    cursor.execute(_TURN_ENDS, (name,))
    except psycopg2.Error as error:
        raise explained(error) from None
