"""A PostgreSQL source with tables that have what plans are to show, and others that nearly have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from superset_ext.plans.asked import Asked
from superset_ext.plans.explain import explain
from superset_ext.plans.review import Review, judged
from testing.counted import count_now

ROWS = 100_000
# Autovacuum is off, so that what the tests show does not depend on when it comes.
TABLES = f"""
CREATE TABLE orders (
    id int PRIMARY KEY, customer int NOT NULL, status varchar(20) NOT NULL, region text, city text, note text,
    amount int, placed timestamp, paid int
) WITH (autovacuum_enabled = off);
INSERT INTO orders
SELECT n, n % 5000, CASE WHEN n % 200 = 0 THEN 'rare' ELSE 'common' END, 'region ' || n % 100, 'city ' || n % 100,
    md5(n::text) || md5((n + 1)::text), n % 1000, timestamp '2024-01-01' + n * interval '5 minutes', n % 1000
FROM generate_series(1, {ROWS}) AS n;
CREATE INDEX orders_placed ON orders (placed);
CREATE INDEX orders_customer ON orders (customer);
CREATE TABLE few WITH (autovacuum_enabled = off) AS SELECT * FROM orders WHERE id <= 500;
CREATE TABLE together WITH (autovacuum_enabled = off) AS SELECT region, city FROM orders;
CREATE STATISTICS together_region_city ON region, city FROM together;
CREATE STATISTICS together_city ON (left(city, 6)) FROM together;
CREATE TABLE unread WITH (autovacuum_enabled = off) AS SELECT region, city FROM orders;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, referrer int) WITH (autovacuum_enabled = off);
INSERT INTO customers SELECT n, 'name ' || n, NULLIF(n % 10, 0) FROM generate_series(0, 4999) AS n;
CREATE TABLE loaded WITH (autovacuum_enabled = off) AS
    SELECT n AS id, n % 10 AS kind FROM generate_series(1, 20000) AS n;
CREATE TABLE grown (id int, kind int) WITH (autovacuum_enabled = off);
INSERT INTO grown SELECT n, n % 10 FROM generate_series(1, 2000) AS n;
CREATE TABLE visited (id int PRIMARY KEY, kind int) WITH (autovacuum_enabled = off);
INSERT INTO visited SELECT n, n % 10 FROM generate_series(1, 20000) AS n;
CREATE TABLE wide (id int, {", ".join(f"c{n} text" for n in range(20))}) WITH (autovacuum_enabled = off);
INSERT INTO wide SELECT n, {", ".join("repeat(md5(n::text), 2)" for _ in range(20))} FROM generate_series(1, 2000) AS n;
CREATE TABLE parts (day date NOT NULL, kind int) PARTITION BY RANGE (day);
{
    " ".join(
        f"CREATE TABLE parts_{n} PARTITION OF parts FOR VALUES FROM ('2024-0{n}-01') TO ('2024-0{n + 1}-01');"
        for n in range(1, 7)
    )
}
INSERT INTO parts SELECT date '2024-01-01' + n % 180, n % 10 FROM generate_series(1, 6000) AS n;
CREATE FUNCTION numbers(top int) RETURNS TABLE (n int) LANGUAGE plpgsql STABLE AS
    $$ BEGIN RETURN QUERY SELECT generate_series(1, top); END $$;
CREATE TABLE "Order" ("group" int, "Two Words" text, "Place" int, "Shelf" int, twin int)
    WITH (autovacuum_enabled = off);
INSERT INTO "Order" SELECT n % 1000, md5(n::text), n % 1000, n % 20, n % 20 FROM generate_series(1, 30000) AS n;
CREATE TABLE "Order Lines" ("group" int) WITH (autovacuum_enabled = off);
INSERT INTO "Order Lines" SELECT n % 10 FROM generate_series(1, 30000) AS n;
CREATE TABLE "Order Notes" WITH (autovacuum_enabled = off) AS SELECT * FROM "Order Lines";
ANALYZE "Order Notes";
INSERT INTO "Order Notes" SELECT 77 FROM generate_series(1, 30000);
CREATE SEQUENCE counter;
CREATE FUNCTION noisy(x int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT nextval(''counter'')::int + x';
CREATE VIEW noise AS SELECT id, noisy(id) AS heard FROM few;
CREATE FUNCTION louder(a int, b int) RETURNS int LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN PERFORM nextval('counter'); RETURN a + b; END $$;
CREATE OPERATOR <-> (leftarg = int, rightarg = int, function = louder);
CREATE AGGREGATE loudest (int) (sfunc = louder, stype = int, initcond = '0');
"""
_ANALYZED = 'orders, few, together, unread, customers, grown, wide, parts, "Order"'


def fill(url: str) -> None:
    """Make the tables in an empty database."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        # VACUUM marks no page as visible before the commit that wrote it is on disk.
        cursor.execute("SET synchronous_commit = on")
        cursor.execute(TABLES)
        count_now(cursor)
        cursor.execute(f"VACUUM ANALYZE {_ANALYZED}")
        while not _is_visible(cursor):  # a snapshot of somebody else in this database may have held VACUUM back
            cursor.execute("VACUUM orders")
        cursor.execute("CREATE STATISTICS unread_region_city ON region, city FROM unread")
        cursor.execute("INSERT INTO grown SELECT n, n % 10 FROM generate_series(2001, 20000) AS n")
        cursor.execute("VACUUM ANALYZE visited")
        cursor.execute("UPDATE visited SET kind = kind + 1")
        count_now(cursor)
        cursor.execute("ANALYZE visited")
        count_now(cursor)
        load_and_analyze(cursor, "at_once")


def load_and_analyze(cursor: Any, table: str) -> None:
    """Make a table as a load does that is over within a second: PostgreSQL counts its rows after its ANALYZE."""
    cursor.execute(f"CREATE TABLE {table} (id int, kind int) WITH (autovacuum_enabled = off)")
    count_now(cursor)
    # As one transaction, which is counted at its end.
    cursor.execute(f"INSERT INTO {table} SELECT n, n % 10 FROM generate_series(1, 20000) AS n; ANALYZE {table}")
    count_now(cursor)


def _is_visible(cursor: Any) -> bool:
    """Whether an index-only scan of `orders` visits no page."""
    cursor.execute("SELECT relallvisible >= relpages FROM pg_class WHERE relname = 'orders'")
    return bool(cursor.fetchone()[0])


@contextmanager
def connected(url: str, **settings: object) -> Iterator[Any]:
    """A connection with settings of its own, and no workers, so that plans are the same on all machines."""
    usual = {"max_parallel_workers_per_gather": 0, "jit": "off", "random_page_cost": 1.1, "work_mem": "16MB"}
    options = " ".join(f"-c {name}={value}" for name, value in {**usual, **settings}.items())
    with closing(psycopg2.connect(url, options=options)) as connection:
        yield connection


def reviewed(
    url: str, sql: str, analyze: bool = False, ms: float | None = None, asked: Asked | None = None, **settings: object
) -> Review:
    """What a query's plan shows on this source."""
    with connected(url, **settings) as connection:
        return judged(explain(connection, sql, 60.0, analyze), sql, ms, asked=asked)


def kinds(review: Review) -> set[str]:
    """The rules that have something to say of a plan."""
    return {finding.kind for finding in review.verdicts.findings}


def reasons(review: Review, kind: str) -> list[str]:
    """Why a rule that was considered advises nothing."""
    return [no.reason for no in review.verdicts.considered if no.kind == kind]
