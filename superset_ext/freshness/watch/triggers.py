"""Watches on a source, as the functions of `sql/watch` make, remove and describe them.

A watched table and its members (its parts, and whatever any of them is a part of) have a trigger on statements; see
`epochs` for what the trigger does. All functions take a cursor within `transaction`, and raise psycopg2's errors,
which `transaction` explains.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from superset_ext.core.sql_folder import query_text
from superset_ext.errors import WatchError
from superset_ext.freshness.watch.schema import PATIENCE, drop, is_ready, make_ready
from superset_ext.freshness.watch.watched import LISTENER, Name, Watched, quoted

_LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
_NAME = "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE pg_class.oid = %s"


def add(cursor: Any, tables: Sequence[str], two_phase_unused: bool = False) -> list[Name]:
    """Watch tables; a table that is watched already is brought up to date.

    Args:
        tables: written as in SQL; a table without a schema is looked up on the search path.
        two_phase_unused: watch them although the server allows PREPARE TRANSACTION.

    Raises:
        WatchError: a table cannot be watched; the message has the reason.
    """
    if not is_ready(cursor):
        _refuse_without_rights(cursor, tables, is_first=True)
    make_ready(cursor)
    intact = {watched.relation for watched in state(cursor) if watched.intact}
    relations = {table: _find(cursor, table) for table in tables}
    # Of the others an administrator may have added some, and this role may not.
    new = [table for table in tables if relations[table] not in intact]
    _refuse_without_rights(cursor, new, is_first=False)
    for table in new:
        add_relation(cursor, relations[table], two_phase_unused)
    return [_name(cursor, relations[table]) for table in tables]


def _refuse_without_rights(cursor: Any, tables: Sequence[str], is_first: bool) -> None:
    """Name all that a role lacks to watch tables, before anything is made.

    Args:
        is_first: whether nothing in this database is watched yet.

    Raises:
        WatchError: it lacks something.
    """
    cursor.execute(query_text("watch_rights_lacking"), {"tables": list(tables), "is_first": is_first})
    if lacking := cursor.fetchone()[0]:
        raise WatchError(f"this role may not watch tables here; let an owner run: {lacking}")


def _find(cursor: Any, table: str) -> int:
    """The source's number of a table, written as in SQL; psycopg2's error if there is none."""
    cursor.execute("SELECT superset_ext_watch.find(%s)", (table,))
    return int(cursor.fetchone()[0])


def _name(cursor: Any, relation: int) -> Name:
    cursor.execute(_NAME, (relation,))
    return Name(*cursor.fetchone())


def add_relation(cursor: Any, relation: int, two_phase_unused: bool, patience: float = PATIENCE) -> None:
    """Watch the table of this number, waiting at most `patience` seconds for each lock."""
    cursor.execute(
        "SELECT superset_ext_watch.add(%s::oid, %s, make_interval(secs => %s))",
        (relation, two_phase_unused, patience),
    )


def relation_of(cursor: Any, name: Name) -> int:
    """The source's number of the table of this name; psycopg2's error if there is none."""
    return _find(cursor, ".".join(quoted(part) for part in name))


def among(cursor: Any, known: Collection[Name], table: str) -> Name:
    """The known table that `table`, written as in SQL, names. It need not exist any more.

    Raises:
        WatchError: no known table has the name, or several have.
    """
    cursor.execute("SELECT parse_ident(%s)", (table,))
    parts = tuple(cursor.fetchone()[0])[-2:]
    names = [name for name in known if name[-len(parts) :] == parts]
    if len(names) != 1:
        why = "is watched in several schemas; name one" if names else "is not watched; see: superset perf watch list"
        raise WatchError(f"{table} {why}")
    return names[0]


def remove(cursor: Any, names: Collection[Name]) -> None:
    """Remove watches, also of tables that are gone. With the last watch, everything of ours leaves the source."""
    if not is_ready(cursor):
        return
    for name in sorted(names):
        cursor.execute("SELECT superset_ext_watch.remove(%s, %s)", name)
    cursor.execute("SELECT FROM superset_ext_watch.watched")
    if cursor.rowcount == 0:
        drop(cursor)


def state(cursor: Any) -> list[Watched]:
    """The watched tables; none if the schema is not there."""
    if not is_ready(cursor):
        return []
    cursor.execute("SELECT * FROM superset_ext_watch.state()")
    return [_watched(*row) for row in cursor.fetchall()]


def _watched(
    number: int, schema: str, table: str, added_at: datetime, notified_at: datetime | None, relation: int | None,
    missing: int | None, shape: str | None, part_of: Sequence[Sequence[str]] | None,
) -> Watched:  # fmt: skip
    parents = tuple(Name(*name) for name in part_of or ())
    return Watched(number, Name(schema, table), added_at, notified_at, relation, missing or 0, shape, parents)


def listeners(cursor: Any) -> int:
    """How many listeners are connected; those of other roles only count if this role may see them."""
    cursor.execute(_LISTENERS, (LISTENER,))
    return int(cursor.fetchone()[0])
