"""How both texts of a statement are run, by the engine of their source: at one moment, read only, and within limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from superset_ext.errors import PlanError, SourceBusy
from superset_ext.plans import duckdb, explain_duckdb, postgresql
from superset_ext.plans.answers import SAME_MOMENT
from superset_ext.plans.explain import asked, reading, refuse_busy, refuse_volatile


class Source(Protocol):
    """An engine.

    Attributes:
        engine: Superset's name of it.
    """

    engine: str

    def reading(self, connection: Any, seconds: float, most: int) -> AbstractContextManager[Any]:
        """A cursor in a transaction that sees one moment and may only read; it is rolled back.

        Args:
            seconds: that each statement may take, or all of them, where the engine has no limit for each.
            most: queries that may be under way there, where the engine tells.

        Raises:
            SourceBusy: more are.
            PlanError: the source refuses.
        """
        ...

    def refuse_volatile(self, cursor: Any, sql: str) -> None:
        """Plan a statement, and run nothing of it.

        Raises:
            PlanError: it may do more than return a value.
        """
        ...


class _PostgreSQL:
    engine = postgresql.ENGINE

    @contextmanager
    def reading(self, connection: Any, seconds: float, most: int) -> Iterator[Any]:
        with reading(connection, seconds) as cursor:
            cursor.execute(SAME_MOMENT)
            refuse_busy(cursor, most)
            yield cursor

    def refuse_volatile(self, cursor: Any, sql: str) -> None:
        refuse_volatile(cursor, asked(cursor, "", sql), "")


class _DuckDB:
    engine = duckdb.ENGINE

    @contextmanager
    def reading(self, connection: Any, seconds: float, most: int) -> Iterator[Any]:
        del most  # it lies in this process, and nothing tells what others ask
        try:
            with explain_duckdb.reading(connection, 2 * seconds) as cursor:
                yield cursor
        except PlanError as error:
            if error.cause != "IOException":
                raise
            raise SourceBusy("one of its files was put in its place meanwhile", error.cause) from None

    def refuse_volatile(self, cursor: Any, sql: str) -> None:
        explain_duckdb.refuse_volatile(cursor, sql, "")


_SOURCES: Mapping[str, Source] = {one.engine: one for one in (_PostgreSQL(), _DuckDB())}


def source_of(database: Any) -> Source:
    """How texts are run on one of Superset's databases.

    Raises:
        PlanError: nothing is compared on its engine.
    """
    source = _SOURCES.get(database.db_engine_spec.engine)
    if source is None:
        raise PlanError(f"nothing is compared on {database.db_engine_spec.engine}", "NoEngine")
    return source
