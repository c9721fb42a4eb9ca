"""What a source's tables are made of: views are followed to the tables that they read, partitions to their parents.

PostgreSQL's catalog says so, and is asked with the connection that Superset's datasets use, so that names without a
schema mean what they mean there. Of other engines only the default schema is known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from superset_ext.cache.quiet import warn
from superset_ext.cache.tags import Table

ENGINE = "postgresql"  # what speaks its protocol and has another catalog is another engine to Superset
_MOST = 10_000  # answers remembered
_TIMEOUT_MS = 3000
# Relations by their names, then whatever their rules (a view is one) refer to, and the parents of each.
_FOLLOW = """
WITH RECURSIVE depends (oid) AS (
    SELECT c.oid
    FROM unnest(CAST(%(schemas)s AS text[]), CAST(%(names)s AS text[])) AS n (schema, name)
    JOIN pg_catalog.pg_class c ON lower(c.relname) = n.name AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
    JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE CASE WHEN n.schema = '' THEN pg_catalog.pg_table_is_visible(c.oid) ELSE lower(s.nspname) = n.schema END
    UNION
    SELECT e.oid FROM depends d CROSS JOIN LATERAL (
        SELECT p.refobjid AS oid
        FROM pg_catalog.pg_rewrite w
        JOIN pg_catalog.pg_depend p ON p.objid = w.oid AND p.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
            AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        WHERE w.ev_class = d.oid AND %(views)s
        UNION ALL
        SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = d.oid
    ) e
)
SELECT s.nspname, c.relname
FROM depends d JOIN pg_catalog.pg_class c ON c.oid = d.oid JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f')
"""


def follow(connection: Any, tables: Collection[Table], views: bool = True) -> frozenset[Table]:
    """`tables` and all that they depend on; what the source does not know stays as it is.

    Args:
        connection: to PostgreSQL, of psycopg2's kind; its transaction is rolled back.
        views: whether views are followed; without, only parents of partitions and of inheriting tables are found.
    """
    named = sorted(tables)
    values = {"schemas": [each.schema for each in named], "names": [each.name for each in named], "views": views}
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {_TIMEOUT_MS}")
            cursor.execute(_FOLLOW, values)
            found = {Table(schema, name) for schema, name in cursor.fetchall()}
    finally:
        connection.rollback()
    return frozenset(found | set(_unresolved(tables, found)))


def _unresolved(tables: Iterable[Table], found: Collection[Table]) -> list[Table]:
    """The tables that were not found under their own names."""
    names = {table.name for table in found}
    return [table for table in tables if table not in found and (table.schema or table.name not in names)]


@dataclass(frozen=True, slots=True)
class _Question:
    schema: str | None
    catalog: str | None
    tables: frozenset[Table]
    views: bool


class Followed:
    """Asks each source, and remembers for a while what it said.

    Args:
        seconds: for how long; a view that is defined anew in the meantime is followed as it was.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[tuple[int, Any, _Question], tuple[float, frozenset[Table]]] = {}
        self._lock = threading.Lock()

    def tables(
        self, database: Any, schema: str | None, catalog: str | None, tables: frozenset[Table]
    ) -> frozenset[Table] | None:
        """All that SQL depends on which names `tables` and runs in `schema`; `None` where the source does not say."""
        return self._answer(database, _Question(schema, catalog, tables, views=True))

    def changed(self, database: Any, tables: frozenset[Table]) -> frozenset[Table] | None:
        """`tables` with their schema, and the tables that they are parts of; `None` where the source does not say."""
        return self._answer(database, _Question(None, None, tables, views=False))

    def forget(self, database_id: int) -> None:
        """Ask a source again."""
        with self._lock:
            for key in [key for key in self._known if key[0] == database_id]:
                del self._known[key]

    def _answer(self, database: Any, question: _Question) -> frozenset[Table] | None:
        key = (database.id, database.changed_on, question)
        known = self._known.get(key)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        try:
            found = _asked(database, question)
        except Exception as error:  # noqa: BLE001  (whatever a driver raises; a chart's answer must not hang on it)
            warn(
                f"views {database.id}",
                "the database %s does not say what its tables are made of (%s); until it does, any change there drops "
                "all that was read from it",
                database.database_name,
                type(error).__name__,
            )
            return None
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = (time.monotonic() + self._seconds, found)
        return found


def _asked(database: Any, question: _Question) -> frozenset[Table]:
    schema, catalog, tables = question.schema, question.catalog, question.tables
    if database.db_engine_spec.engine == ENGINE:
        # PostgreSQL folds fewer letters than we do.
        if any(each != each.lower() for table in tables for each in (table.schema, table.name)):
            raise LookupError("a name with letters that have no plain lower case")
        with database.get_raw_connection(catalog=catalog, schema=schema) as connection:
            return follow(connection, tables, question.views)
    if all(table.schema for table in tables):
        return tables
    own = schema or database.get_default_schema(catalog) or ""
    return frozenset(Table(table.schema or own, table.name) for table in tables)
