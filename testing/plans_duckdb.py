"""A DuckDB database with tables that have what plans are to show, and others that nearly have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superset_ext.plans.asked import Asked
from superset_ext.plans.review import Review, explained_by, judged

# Of `orders`, n is in order and mixed is in none; of a million rows there are nine groups.
TABLES = """
CREATE TABLE orders AS
SELECT n, hash(n) % 1000000 AS mixed, 'note ' || (n % 50000) AS note, n % 100 AS city, n % 5000 AS customer
FROM range(1000000) AS numbers(n);
CREATE TABLE few AS SELECT * FROM orders WHERE n < 500;
CREATE TABLE customers (id int PRIMARY KEY, referrer int, name varchar, placed date, details json);
INSERT INTO customers SELECT n, nullif(n % 10, 0), 'name ' || n, date '2024-01-01' + (n % 300)::int, '{}'
FROM range(5000) AS numbers(n);
CREATE SEQUENCE counter;
CREATE MACRO next_one(x) AS nextval('counter') + x;
CREATE MACRO twice(x) AS 2 * x;
"""


def fill(file: Path) -> None:
    """Make the tables in a new file."""
    import duckdb

    with duckdb.connect(str(file)) as connection:
        connection.execute(TABLES)


def reviewed(connection: Any, sql: str, analyze: bool = False, asked: Asked | None = None) -> Review:
    """What a query's plan shows."""
    return judged(explained_by(connection, sql, 60.0, analyze), sql, asked=asked)
