"""Builds and drops indexes on a source: without locking writers out, one at a time, and only those that are ours.

What is built carries a comment, by which it is known again. A build that is broken off leaves an index without one; its
name, which nobody else gives, was written down before it began, so that the next run finds it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.core.log_database import all_rows, next_row
from superset_ext.core.sql_folder import query_text
from superset_ext.plans.indexes.index import Index, quoted

MARK = "superset_ext index advice"  # how the comment of each of our indexes begins
WAIT_SECONDS = 10.0  # for locks, and for transactions that were open before a build
_NONCE = 3  # bytes
_NAME_CHARACTERS = 63 - 1 - 2 * _NONCE
_LOOK_SECONDS = 0.2  # between two looks whether somebody has pressed Ctrl+C


@dataclass(frozen=True, slots=True)
class Named:
    """An index with a name that no other one has.

    Attributes:
        name: never given twice, so that an index of this name is this one.
    """

    index: Index
    name: str

    @property
    def full_name(self) -> str:
        """With its schema, as SQL."""
        return f"{quoted(self.index.table.schema)}.{quoted(self.name)}"

    @property
    def create(self) -> str:
        """The statement that builds it."""
        return f"CREATE INDEX CONCURRENTLY {quoted(self.name)} {self.index.definition};"

    @property
    def drop(self) -> str:
        """The statement that takes it away."""
        return f"DROP INDEX CONCURRENTLY IF EXISTS {self.full_name};"


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an index was not built, and whether something of it is left on the source."""

    reason: str
    left: bool = False


@dataclass(frozen=True, slots=True)
class Ours:
    """An index on a source that was built here.

    Attributes:
        marked: it has our comment; else only its name was written down, and its build was broken off.
        building: it is being built at this moment.
    """

    schema: str
    table: str
    name: str
    valid: bool
    marked: bool
    bytes: int
    building: bool

    @property
    def drop(self) -> str:
        """The statement that takes it away."""
        return f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(self.schema)}.{quoted(self.name)};"


def named(index: Index) -> Named:
    """The index with a name of its own."""
    return Named(index, f"{index.name[:_NAME_CHARACTERS]}_{secrets.token_hex(_NONCE)}")


def refusal(connection: Any, item: Named) -> str | None:
    """Why the role may not or should not build an index; `None` where it can.

    Raises:
        Exception: whatever the driver raises.
    """
    table = item.index.table
    with _at_once(connection) as cursor:
        cursor.execute(
            query_text("postgresql_may_index"), {"schema": table.schema, "table": table.name, "name": item.name}
        )
        row = next_row(cursor)
    if row is None:
        return f"there is no table {table}"
    if row["replica"]:
        return "the source is a replica, which takes no index; build it on the primary"
    if not row["owns"]:
        return f"the role {row['role']} does not own the table; let {row['owner']} run the statement"
    if not row["creates"]:
        return f"the role {row['role']} may create nothing in the schema {table.schema}"
    if not row["plain"]:
        return "the table is partitioned, and its indexes are made otherwise"
    return "an index of this name is there, and is not ours" if row["taken"] else None


def build(connection: Any, item: Named, note: str, wait: float = WAIT_SECONDS) -> Failed | None:
    """Build an index, and mark it as ours.

    Args:
        note: what stands in its comment after the mark.
        wait: seconds to wait for a lock, or for transactions that began before.

    Returns:
        why it was not built; `None` where it stands.

    Raises:
        Exception: the connection is lost, or somebody broke off; what is left is `leftovers`' business.
    """
    try:
        with _at_once(connection, wait) as cursor:
            _broken_off_at_once(connection, cursor, item.create)
            cursor.execute(f"COMMENT ON INDEX {item.full_name} IS %s", (f"{MARK}: {note}",))
    except psycopg2.Error as error:
        if connection.closed:
            raise
        left = drop(connection, item.drop, wait)
        return Failed(f"it could not be built: {first_line(error)}" + (f"; {left}" if left else ""), left is not None)
    except BaseException:
        if not connection.closed:
            drop(connection, item.drop, wait)
        raise
    return None


def drop(connection: Any, statement: str, wait: float = WAIT_SECONDS) -> str | None:
    """Drop an index; why that was not possible, `None` where it is gone.

    Raises:
        Exception: the connection is lost.
    """
    try:
        with _at_once(connection, wait) as cursor:
            cursor.execute(statement)
    except psycopg2.Error as error:
        if connection.closed:
            raise
        return f"it is still there ({first_line(error)}); run: {statement}"
    return None


def ours(connection: Any, names: Collection[str] = ()) -> list[Ours]:
    """All indexes of a source that were built here.

    Args:
        names: with their schema, `schema.index`, of those whose build began and of which no end is known.

    Raises:
        Exception: whatever the driver raises.
    """
    with _at_once(connection) as cursor:
        cursor.execute(query_text("postgresql_advised_indexes"), {"mark": MARK, "names": list(names)})
        return [
            Ours(row["schema_name"], row["table_name"], row["index_name"], row["valid"], row["marked"], row["bytes"],
                 row["building"])
            for row in all_rows(cursor)
        ]  # fmt: skip


@contextmanager
def _at_once(connection: Any, wait: float = WAIT_SECONDS) -> Iterator[Any]:
    """A cursor outside of any transaction, with a limit for locks and none for time."""
    connection.rollback()
    connection.set_session(readonly=False, autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {max(1, int(wait * 1000))}; SET statement_timeout = 0")
            yield cursor
    finally:
        if not connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout; RESET statement_timeout")
            connection.autocommit = False


def _broken_off_at_once(connection: Any, cursor: Any, statement: str) -> None:
    """Run a statement that takes long, so that Ctrl+C ends it: the driver would wait for the server first."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            cursor.execute(statement)
        except BaseException as error:  # noqa: BLE001  (raised again below)
            errors.append(error)

    thread = threading.Thread(target=run, name="superset_ext: index", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_LOOK_SECONDS)
    except BaseException:
        connection.cancel()
        thread.join()
        raise
    if errors:
        raise errors[0]
