"""What tables are made of, asked by Superset's datasources and database ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from superset_ext.cache import query as queries
from superset_ext.core.signals import count_failure
from superset_ext.freshness.relations.answers import Known
from superset_ext.freshness.relations.views import Followed
from superset_ext.host.databases import database_apart
from superset_ext.sqltables.reads import Window
from superset_ext.sqltables.table import Table


class Following:
    """Asks the sources, and remembers what they answer.

    Args:
        seconds: how long an answer is remembered.
        latest: asks Redis for the stamp of views; a query that has read it on its way does without.
    """

    def __init__(self, seconds: float, latest: Callable[[], Known | None]) -> None:
        self._followed = Followed(seconds)
        self._latest = latest

    def follow(self, source: Any, tables: frozenset[Table]) -> frozenset[Table] | None:
        """Everything that a datasource's SQL depends on if it names `tables`; `None` if the source does not tell.

        Without a schema of its own it is on a search path, where a table that is made later may take a name over. It
        then depends on the bare name too, which is stamped with every table that has it.
        """
        followed = self._followed.tables(*_place(source), tables, self._now())
        if followed is None or source.schema:
            return followed
        return followed | {table for table in tables if not table.schema}

    def windows(self, source: Any, tables: frozenset[Table]) -> frozenset[Window]:
        """The foreign tables that a datasource's SQL reads if it names `tables`, by their servers."""
        return self._followed.windows(*_place(source), tables, self._now())

    def _now(self) -> Known | None:
        query = queries.current()
        return self._latest() if query is None or query.views is None else query.views

    def ancestors(self, database_id: int, tables: frozenset[Table]) -> frozenset[Table] | None:
        """`tables` with their schemas, and the tables that they are parts of; `None` if the source does not tell."""
        return self._asked(database_id, lambda database: self._followed.changed(database, tables))

    def written(self, database_id: int, tables: frozenset[Table], functions: frozenset[str]) -> frozenset[Table] | None:
        """Beside those, the tables that a write to `tables` writes; `None` if the source does not tell."""
        return self._asked(database_id, lambda database: self._followed.written(database, tables, functions))

    def _asked(self, database_id: int, ask: Callable[[Any], frozenset[Table] | None]) -> frozenset[Table] | None:
        try:
            database = database_apart(database_id)
            return None if database is None else ask(database)
        except Exception as error:  # noqa: BLE001  (Superset's metadata is away; what changed is dropped all the same)
            count_failure("looking up the database of a change", error)
            return None

    def forget(self, database_id: int) -> None:
        """Ask again what the views of a database are made of."""
        self._followed.forget(database_id)


def _place(source: Any) -> tuple[Any, str | None, str | None]:
    """Where the names of a datasource's SQL are looked up."""
    return source.database, source.schema, getattr(source, "catalog", None)
