"""The aggregates of a PostgreSQL source, as `Source` has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superset_ext.aggregates.tables import building, checking
from superset_ext.aggregates.tables.catalogue import Kept, kept
from superset_ext.aggregates.tables.checking import Checked
from superset_ext.aggregates.tables.definition import Definition, Upkeep, view_of
from superset_ext.aggregates.tables.refreshing import refresh
from superset_ext.aggregates.tables.renewing import Refreshed
from superset_ext.aggregates.tables.transaction import transaction
from superset_ext.aggregates.view import View
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL


class PostgreSQLSource:
    """See `Source`; over a connection of psycopg2."""

    upkeep: Upkeep = "notes"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def path(self, schema: str | None) -> tuple[str, ...]:
        """See `Source`; without a schema, the role's own path."""
        if schema is not None:
            return (schema,)
        self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT current_schemas(false)")
            return tuple(cursor.fetchone()[0])

    def view_of(self, sql: str, path: Sequence[str]) -> View:
        """See `Source`."""
        with transaction(self._connection, path) as cursor:

            def ask(query: str, values: Sequence[Any]) -> list[Sequence[Any]]:
                cursor.execute(query, values or None)
                return list(cursor.fetchall())

            return view_of(sql, PostgreSQL(ask), "unnamed")

    def planned(self, definition: Definition) -> tuple[Definition, list[str]]:
        """See `Source`."""
        return building.planned(self._connection, definition)

    def build(self, definition: Definition, lock_seconds: float) -> Refreshed:
        """See `Source`."""
        return building.build(self._connection, definition, lock_seconds)

    def refresh(self, name: str, whole: bool) -> Refreshed:
        """See `Source`."""
        return refresh(self._connection, name, whole)

    def check(self, name: str) -> Checked:
        """See `Source`."""
        return checking.check(self._connection, name)

    def drop(self, name: str, lock_seconds: float) -> None:
        """See `Source`."""
        building.drop(self._connection, name, lock_seconds)

    def drop_all(self) -> list[str]:
        """See `Source`."""
        return building.drop_all(self._connection)

    def kept(self) -> list[Kept]:
        """See `Source`."""
        with transaction(self._connection) as cursor:
            return kept(cursor)
