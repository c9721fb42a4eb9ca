"""Relations on a real source."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2

SHAPES = """
CREATE TABLE base (a int, tenant int);
CREATE TABLE other (a int);
CREATE VIEW v1 AS SELECT a FROM base;
CREATE MATERIALIZED VIEW m1 AS SELECT a FROM v1;
CREATE VIEW v2 AS SELECT m1.a FROM m1 WHERE EXISTS (SELECT FROM other WHERE other.a = m1.a);
CREATE RECURSIVE VIEW walk (n) AS SELECT a FROM base UNION ALL SELECT n + 1 FROM walk JOIN other ON a = n;

CREATE TABLE sales (a int, day date) PARTITION BY RANGE (day);
CREATE TABLE sales_2026 PARTITION OF sales FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (a);
CREATE TABLE sales_2026_1 PARTITION OF sales_2026 FOR VALUES IN (1);
CREATE INDEX ON sales (day);
CREATE VIEW first AS SELECT a FROM sales_2026_1;
CREATE TABLE people (a int);
CREATE TABLE staff () INHERITS (people);

CREATE SCHEMA "Far";
CREATE TABLE "Far"."Mixed Case" (a int);
CREATE TABLE "Far".base (a int);
CREATE VIEW "Far"."Seen" AS SELECT a FROM "Far"."Mixed Case";
CREATE VIEW over_there AS SELECT a FROM "Far"."Seen";

CREATE TABLE rights (tenant int);
CREATE TABLE guarded (a int, tenant int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (tenant IN (SELECT tenant FROM rights));

CREATE FUNCTION total() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT sum(a) FROM public.base';
CREATE FUNCTION twice(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * n';
CREATE VIEW opaque AS SELECT total() AS a;
CREATE VIEW clear AS SELECT twice(a) AS a FROM other;
"""


def run(url: str, *statements: str) -> list[Any]:
    """Run statements, and return the rows of the last one where it has some."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
