"""The aggregates of one of Superset's databases, by whatever engine it is of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from superset_ext.aggregates.files.source import DuckDBSource
from superset_ext.aggregates.source import Source
from superset_ext.aggregates.tables.source import PostgreSQLSource
from superset_ext.errors import AdviceError
from superset_ext.freshness.watch.source import connect
from superset_ext.host.databases import database_of, database_typed, detached


@contextmanager
def _postgresql(app: Any, number: int) -> Iterator[Source]:
    with connect(app, number) as connection:
        yield PostgreSQLSource(connection)


@contextmanager
def _duckdb(app: Any, number: int) -> Iterator[Source]:
    with app.app_context():
        yield DuckDBSource(detached(database_of(number)))


_ENGINES: Mapping[str, Callable[[Any, int], AbstractContextManager[Source]]] = {
    "postgresql": _postgresql, "duckdb": _duckdb,
}  # fmt: skip


@contextmanager
def opened(app: Any, number: int) -> Iterator[Source]:
    """The aggregates of a database, over one connection or several, which are closed at the end.

    Raises:
        UnknownDatabase: Superset has none of this id.
        AdviceError: no aggregates are built for its engine.
        WatchError: it cannot be connected to.
        AggregateError: it is none that can have aggregates.
    """
    with app.app_context():
        engine = _checked(database_of(number))
    with _ENGINES[engine](app, number) as source:
        yield source


def source_named(named: str) -> tuple[int, str]:
    """The id and name of the database that somebody has typed. Needs an app context.

    Raises:
        UnknownDatabase: there is none.
        AdviceError: no aggregates are built for its engine.
    """
    database = database_typed(named)
    _checked(database)
    return int(database.id), str(database.database_name)


def _checked(database: Any) -> str:
    engine = str(database.db_engine_spec.engine)
    if engine not in _ENGINES:
        raise AdviceError(
            f"aggregates are built for PostgreSQL and DuckDB alone; the database {database.database_name!r} is {engine}"
        )
    return engine
