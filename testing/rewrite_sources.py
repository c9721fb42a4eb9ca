"""Servers on which random statements are run, each with plans by chance."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from superset_ext.plans.rewrite.catalogue.duckdb import DuckDB
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from superset_ext.plans.rewrite.facts import Facts

_NODES = (
    "seqscan", "indexscan", "bitmapscan", "hashagg", "hashjoin", "mergejoin", "nestloop", "sort", "material",
)  # fmt: skip
Run = Callable[[str], Sequence[Sequence[Any]]]


@dataclass
class Source:
    """A server under test.

    Attributes:
        run: runs a statement and returns its rows, if it has any.
        facts: makes a catalogue anew, after the tables have changed.
        shake: makes the next plan another one, by chance.
    """

    name: str
    run: Run
    facts: Callable[[], Facts]
    shake: Callable[[random.Random], None]


@contextmanager
def postgresql(url: str) -> Iterator[Source]:
    """A PostgreSQL database as a source."""
    import psycopg2

    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True

        def run(sql: str, parameters: Sequence[Any] | None = None) -> Sequence[Sequence[Any]]:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall()) if cursor.description else []

        run("SET timezone = 'America/New_York'")

        def shake(some: random.Random) -> None:
            run(";".join(f"SET enable_{node} = {some.choice(('on', 'on', 'off'))}" for node in _NODES))

        yield Source("postgresql", run, lambda: PostgreSQL(run), shake)


@contextmanager
def duckdb() -> Iterator[Source]:
    """A new DuckDB database in memory as a source."""
    import duckdb as engine

    with closing(engine.connect()) as connection:

        def run(sql: str, parameters: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
            return list(connection.execute(sql, list(parameters)).fetchall())

        run("SET threads = 1")
        run("CREATE MACRO to_timestamp(a, b) AS strptime(a, '%Y-%m-%d %H:%M:%S.%f')")  # so that the same texts run
        run("CREATE MACRO to_date(a, b) AS CAST(a AS DATE)")

        def shake(some: random.Random) -> None:
            run(f"SET preserve_insertion_order = {some.choice(('true', 'false'))}")

        yield Source("duckdb", run, lambda: DuckDB(run), shake)
