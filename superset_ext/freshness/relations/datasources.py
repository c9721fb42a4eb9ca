"""From the tables that SQL names to all that they are made of, as Superset's datasources and database ids name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from superset_ext.freshness.relations.views import Followed
from superset_ext.sqltables.table import Table


class Following:
    """Asks the sources, and remembers what they said.

    Args:
        seconds: for which it is remembered.
    """

    def __init__(self, seconds: float) -> None:
        self._followed = Followed(seconds)

    def follow(self, source: Any, tables: frozenset[Table]) -> frozenset[Table] | None:
        """What a datasource's SQL depends on that names `tables`; `None` where the source does not say."""
        return self._followed.tables(source.database, source.schema, getattr(source, "catalog", None), tables)

    def ancestors(self, database_id: int, tables: frozenset[Table]) -> frozenset[Table] | None:
        """`tables` with their schema, and those that they are parts of; `None` where the source does not say."""
        with _database(database_id) as database:
            return None if database is None else self._followed.changed(database, tables)

    def forget(self, database_id: int) -> None:
        """Ask again what a database's views are made of."""
        self._followed.forget(database_id)


@contextmanager
def _database(database_id: int) -> Iterator[Any]:
    """Superset's database, in a session of its own: the caller's may just have been committed."""
    from sqlalchemy.orm import Session
    from superset.extensions import db
    from superset.models.core import Database

    with Session(db.engine) as session:
        yield session.get(Database, database_id)
