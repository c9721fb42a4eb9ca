"""Aggregates on a real source: built of a statement, and compared with their base within one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from superset_ext.aggregates.tables.building import build
from superset_ext.aggregates.tables.catalogue import Kept, kept
from superset_ext.aggregates.tables.checking import text
from superset_ext.aggregates.tables.definition import Definition, Upkeep, indexed, view_of
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from testing.databases import Databases
from testing.in_process import InProcess

# A database that an earlier test has used.
AS_NEW = """
DROP SCHEMA IF EXISTS superset_ext_aggregates CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;
GRANT USAGE ON SCHEMA public TO PUBLIC;
DROP FOREIGN DATA WRAPPER IF EXISTS w CASCADE; DROP SCHEMA IF EXISTS trap CASCADE
"""
SALES = """
CREATE TABLE sales (id serial, shop text, day date, ts timestamp, amount int, price numeric(10, 2));
INSERT INTO sales (shop, day, ts, amount, price)
SELECT CASE WHEN i % 7 = 0 THEN NULL ELSE 'shop' || i % 5 END, date '2024-01-01' + i % 40,
    timestamp '2024-01-01' + i * interval '1 hour', nullif(i % 11, 0), i
FROM generate_series(1, 1000) i
"""
BY_SHOP = (
    "SELECT shop, COUNT(*) AS n, SUM(amount) AS a, MIN(amount) AS low, MAX(price) AS high FROM sales GROUP BY shop"
)
BY_DAY = """
SELECT DATE_TRUNC('day', ts) AS day, shop, COUNT(amount) AS c, SUM(price) AS p, MAX(amount) AS m FROM sales
GROUP BY DATE_TRUNC('day', ts), shop
"""


@contextmanager
def connected(url: str, **options: Any) -> Iterator[Any]:
    """A connection without a transaction."""
    with closing(psycopg2.connect(url, **options)) as connection:
        connection.autocommit = True
        yield connection


@contextmanager
def sales_in(app: InProcess, databases: Databases, name: str) -> Iterator[Any]:
    """A connection to a source with `SALES` that Superset knows by a name within the block; the app is awake."""
    with databases.empty() as url, connected(url) as connection:
        run(connection, SALES)
        with app.app.app_context():
            _make(name, url)
        yield connection
        with app.app.app_context():
            _unmake(name)
        app.rows("DELETE FROM superset_ext.aggregate_source")


def _make(name: str, url: str) -> None:
    from superset.extensions import db
    from superset.models.core import Database

    database = Database(database_name=name)
    database.set_sqlalchemy_uri(url)
    db.session.add(database)
    db.session.commit()


def _unmake(name: str) -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.extensions import db
    from superset.models.core import Database

    db.session.query(Database).filter_by(database_name=name).delete()
    db.session.commit()


def run(connection: Any, sql: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    """The rows of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []


def defined(
    connection: Any, sql: str, name: str = "agg", upkeep: Upkeep = "notes", filters: Sequence[str] = (), **more: Any
) -> Definition:
    """What is built of a statement."""
    facts = PostgreSQL(lambda query, values: run(connection, query, values or None))
    view = view_of(sql, facts, name)
    return Definition(name, view, ("public",), None, indexed(view, filters), upkeep, **more)


def built(connection: Any, sql: str, name: str = "agg", **options: Any) -> Definition:
    """An aggregate that is there."""
    definition = defined(connection, sql, name, **options)
    build(connection, definition)
    return one(connection, name).definition


def one(connection: Any, name: str = "agg") -> Kept:
    """An aggregate as the catalogue has it."""
    with connection.cursor() as cursor:
        return next(item for item in kept(cursor) if item.name == name)


def differences(connection: Any, definition: Definition) -> int:
    """Rows in which an aggregate differs from its base, in the snapshot of this statement."""
    ((number,),) = run(connection, text(definition, list(definition.view.names.values())))
    return int(number)


def exact_and_differences(connection: Any, definition: Definition) -> tuple[bool, int]:
    """Whether an aggregate says that it is exact, and in how many rows it is not, in one snapshot."""
    ask = "(SELECT is_exact FROM superset_ext_aggregates.state() WHERE name = %s)"
    sql = text(definition, list(definition.view.names.values())).replace("%", "%%")
    ((is_exact, number),) = run(connection, f"SELECT {ask}, ({sql})", (definition.name,))
    return bool(is_exact), int(number)
