"""A source of a shop for index advice, and the statements that its charts ask, as the query log keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from superset_ext.monitor.log.fingerprint import normalised
from superset_ext.plans.indexes.generic import plannable
from superset_ext.plans.indexes.source import only_reading
from superset_ext.plans.indexes.workload import Asked

ROWS = 100_000
TABLES = f"""
CREATE TABLE sales (
    id int PRIMARY KEY, shop int NOT NULL, customer int NOT NULL, status text NOT NULL, placed date NOT NULL,
    price numeric(12, 2) NOT NULL, email text NOT NULL, gone timestamp
) WITH (autovacuum_enabled = off);
INSERT INTO sales
SELECT n, hashint4(n) & 15, abs(hashint4(n + 7)) % 20000, 'status ' || abs(hashint4(n + 1)) % 5,
    date '2024-01-01' + n / 300,
    abs(hashint4(n + 2)) % 100000 / 100.0, 'Person' || abs(hashint4(n + 3)) % 60000 || '@example.org',
    CASE WHEN n % 50 = 0 THEN NULL ELSE timestamp '2025-01-01' + n * interval '1 minute' END
FROM generate_series(1, {ROWS}) AS n;
CREATE INDEX sales_shop ON sales (shop);
CREATE INDEX sales_shop_again ON sales (shop);
CREATE TABLE shops (key int PRIMARY KEY, town text) WITH (autovacuum_enabled = off);
INSERT INTO shops SELECT n, 'town ' || n FROM generate_series(0, 15) AS n;
"""
BY_CUSTOMER = "SELECT sum(price) FROM public.sales WHERE customer = 4711 AND placed >= DATE '2024-03-01'"
BY_SHOP = (
    "SELECT DATE_TRUNC('month', placed) AS month, SUM(price) AS total FROM (SELECT * FROM sales) AS virtual_table "
    "WHERE shop = 3 AND customer IN (1, 2, 3) GROUP BY DATE_TRUNC('month', placed) ORDER BY total DESC LIMIT 100"
)
SMALL = "SELECT town FROM shops WHERE town = 'town 3'"
BROKEN = "SELECT price FROM sales WHERE no_such_column = 3"


def fill(url: str) -> None:
    """Make the tables in an empty database, and analyse them."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(TABLES)
        cursor.execute("VACUUM (ANALYZE) sales, shops")


def asked(*statements: str, seconds: float = 10_000.0) -> Sequence[Asked]:
    """Statements as the log has them, without their values; each later one took half as long."""
    texts = [normalised(sql, "postgresql") for sql in statements]
    return [
        Asked(f"f{number}", 10, seconds / 2**number, plannable(text), (number,)) for number, text in enumerate(texts)
    ]


@contextmanager
def reading(url: str) -> Iterator[Any]:
    """A cursor that may only read."""
    with closing(psycopg2.connect(url)) as connection, only_reading(connection) as cursor:
        yield cursor


def objects(url: str) -> set[tuple[Any, ...]]:
    """All tables, indexes and functions of a database, with what was written to them. Of the catalogue's own tables the
    server counts rows anew when it likes."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid, relname, relfilenode, CASE WHEN oid >= 16384 THEN reltuples END FROM pg_class"
            " UNION ALL SELECT oid, proname, 0, 0 FROM pg_proc"
        )
        return set(cursor.fetchall())
