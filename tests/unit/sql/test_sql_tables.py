"""Which tables SQL reads and writes, over the dialects that Superset knows."""

from __future__ import annotations

import pytest
from sqlglot.parser import Parser

from superset_ext.sqltables.reads import read_tables
from superset_ext.sqltables.statement import LIMIT_BYTES
from superset_ext.sqltables.table import Table
from superset_ext.sqltables.writes import written_tables
from superset_ext.sqltables.written import Written
from testing.sql_text import BQ, CH, DUCK, HIVE, LITE, MS, MY, ORA, PG, SF, TR, tables

READ = [
    # several statements, comments, nothing
    (PG, "SELECT 1 FROM a; SELECT 2 FROM b", "a, b"),
    (PG, "SELECT 1 FROM a;\n\n-- the last word\n", "a"),
    (PG, "/* FROM x */ SELECT 1 -- FROM y\nFROM a", "a"),
    (PG, "SELECT ' FROM x ' FROM a WHERE b = 'it''s; FROM y'", "a"),
    (PG, "BEGIN; SET LOCAL statement_timeout = 5; SELECT 1 FROM a; COMMIT", "a"),
    (BQ, "DECLARE x INT64 DEFAULT (SELECT max(y) FROM d.b); SELECT x FROM d.a", "d.a, d.b"),
    (MY, "SET @x = (SELECT max(y) FROM b); SELECT @x FROM a", "a, b"),
    (PG, "SET search_path = other; SELECT 1 FROM s.a", "s.a"),
    (PG, "SET search_path = other; SELECT 1 FROM a", None),
    (PG, 'SET "search_path" TO other; SELECT 1 FROM a', None),
    (MY, "USE other; SELECT 1 FROM a", None),
    (PG, "SELECT set_config('search_path', 'other', false); SELECT 1 FROM a", None),
    (PG, "", None),
    (PG, "-- nothing", None),
    (PG, "SELECT 1", None),
    (PG, "VALUES (1)", None),
    (PG, "SELECT * FROM (VALUES (1)) v(x)", None),
    (PG, "SELECT * FROM (VALUES (1)) v(x) JOIN a USING (x)", "a"),
    # where a query may stand
    (PG, "SELECT (SELECT max(x) FROM b) FROM a", "a, b"),
    (PG, "SELECT 1 FROM a WHERE x IN (SELECT x FROM b) AND EXISTS (SELECT FROM c)", "a, b, c"),
    (PG, "SELECT 1 FROM a GROUP BY x HAVING max(y) > (SELECT 1 FROM b) ORDER BY (SELECT 1 FROM c)", "a, b, c"),
    (PG, "SELECT 1 FROM a LIMIT (SELECT count(*) FROM b)", "a, b"),
    (PG, "SELECT ARRAY(SELECT x FROM b) FROM a WHERE y = ALL (SELECT y FROM c)", "a, b, c"),
    (PG, "SELECT 1 FROM a, LATERAL (SELECT 1 FROM b WHERE b.x = a.x) c", "a, b"),
    (PG, "SELECT 1 FROM a UNION SELECT 1 FROM b EXCEPT SELECT 1 FROM c INTERSECT SELECT 1 FROM d", "a, b, c, d"),
    (PG, "SELECT 1 FROM (a JOIN b USING (x)) LEFT JOIN (c CROSS JOIN d) ON true", "a, b, c, d"),
    (PG, "SELECT sum(x) FILTER (WHERE y IN (SELECT y FROM b)) OVER (PARTITION BY z) FROM a", "a, b"),
    (PG, "SELECT CASE WHEN x THEN (SELECT 1 FROM b) END FROM a, c", "a, b, c"),
    (PG, "SELECT 1 FROM ONLY a TABLESAMPLE BERNOULLI (10)", "a"),
    (PG, "SELECT 1 FROM a * JOIN b AS c (x) ON true FOR UPDATE OF c", "a, b"),
    (SF, "SELECT * FROM a PIVOT (SUM(x) FOR q IN ('x', 'y'))", "a"),
    (SF, "SELECT * FROM a.b.c AT (OFFSET => -60), LATERAL FLATTEN(input => c.x) f", "b.c"),
    (SF, "SELECT * FROM a, TABLE(FLATTEN(input => a.x)) f", "a"),
    (MS, "SELECT TOP 5 x FROM [my schema].[a b] WITH (NOLOCK)", "my schema.a b"),
    (MS, "SELECT 1 FROM a CROSS APPLY OPENJSON(a.j) WITH (x int) j", "a"),
    (CH, "SELECT 1 FROM a FINAL SAMPLE 0.1 ARRAY JOIN arr AS x PREWHERE y IN (SELECT y FROM b)", "a, b"),
    (HIVE, "SELECT 1 FROM a LATERAL VIEW explode(x) y AS z", "a"),
    (DUCK, "FROM a SELECT x", "a"),
    # names
    (PG, 'SELECT 1 FROM "My Table", "S"."T", public.a', "my table, s.t, public.a"),
    (TR, "SELECT 1 FROM cat.sch.a JOIN sch.b ON true", "sch.a, sch.b"),
    (TR, 'SELECT 1 FROM cat.sch."a$partitions"', "sch.a, sch.a$partitions"),
    (BQ, "SELECT 1 FROM `p-q.d.a` JOIN p-q.d.b USING (x) JOIN `d`.`c` USING (x)", "d.a, d.b, d.c"),
    (BQ, "SELECT 1 FROM d.a, UNNEST(a.x) AS y", "d.a"),
    (BQ, "SELECT 1 FROM d.a AS t, t.items", "d.a"),
    (BQ, "SELECT 1 FROM `p.d.events_*`", None),
    (MS, "SELECT 1 FROM srv.db.dbo.a", "dbo.a"),
    (MS, "SELECT 1 FROM db..a", None),
    (SF, "SELECT 1 FROM db..a", None),
    (MS, "SELECT 1 FROM @rows", None),
    (SF, "SELECT 1 FROM @stage/x", None),
    (SF, "SELECT 1 FROM IDENTIFIER('a')", None),
    (SF, "SELECT 1 FROM TABLE('a')", None),
    (CH, "SELECT 1 FROM {t:Identifier}", None),
    (LITE, "SELECT 1 FROM [a] JOIN main.b JOIN 'c'", "a, main.b, c"),
    (MY, "SELECT 1 FROM `a b` PARTITION (p0)", "a b"),
    (ORA, "SELECT 1 FROM a@remote, b PARTITION (p1)", "a@remote, b"),
    # a table without FROM
    (PG, "TABLE foo", "foo"),
    (PG, 'TABLE s."Foo" ORDER BY 1 LIMIT 3', "s.foo"),
    (PG, "WITH x AS (TABLE foo) SELECT 1 FROM x, (TABLE ONLY bar) y WHERE z IN (TABLE baz)", "foo, bar, baz"),
    (MY, "SELECT 1 FROM a UNION ALL TABLE b", "a, b"),
    (CH, "SELECT table, table AS t FROM system.parts WHERE id IN b AND (x, y) NOT IN d.c", "system.parts, b, d.c"),
    (CH, "SELECT 1 FROM a WHERE id IN (b)", "a, b"),
    (CH, "WITH b AS (SELECT 1 AS x) SELECT 1 FROM a WHERE id IN b", "a"),
    (CH, "SELECT 1 FROM a WHERE id IN (1, 2) AND x IN tuple(1)", "a"),
    # sources that are no tables
    (PG, "SELECT 1 FROM generate_series(1, 2) g", None),
    (PG, "SELECT 1 FROM generate_series(1, 2) g LEFT JOIN a ON g = a.x", "a"),
    (PG, "SELECT 1 FROM f()", None),
    (PG, "SELECT 1 FROM a, f(a.x)", None),
    (PG, "SELECT 1 FROM a, LATERAL s.f(a.x) y", None),
    (PG, "SELECT 1 FROM a, s.unnest(a.x)", None),
    (PG, "SELECT 1 FROM ROWS FROM (f(1), g(2)) x, a", None),
    (PG, "SELECT 1 FROM a, unnest(a.x) y, jsonb_to_recordset(a.z) AS r(b int)", "a"),
    (LITE, "SELECT 1 FROM a, json_each(a.x)", "a"),
    (PG, "SELECT 1 FROM a, explode(a.x) y", None),
    (PG, "SELECT 1 FROM a, string_split(a.x, ',') y", None),
    ("databricks", "SELECT 1 FROM a LATERAL VIEW posexplode(x) y AS p, z", "a"),
    (SF, "SELECT 1 FROM a, TABLE(my_function(1))", None),
    (TR, "SELECT 1 FROM a, TABLE(system.query(query => 'select 1'))", None),
    (MS, "SELECT 1 FROM a CROSS APPLY dbo.f(a.x) y", None),
    (MS, "SELECT 1 FROM OPENQUERY(srv, 'select 1 from a')", None),
    (BQ, "SELECT 1 FROM ML.PREDICT(MODEL d.m, TABLE d.a)", None),
    (BQ, "SELECT 1 FROM EXTERNAL_QUERY('c', 'SELECT 1 FROM a')", None),
    (CH, "SELECT 1 FROM merge('db', '^a')", None),
    (CH, "SELECT 1 FROM remote('host', d.a)", None),
    (ORA, "SELECT 1 FROM TABLE(f(1)), a", None),
    (LITE, "SELECT 1 FROM a WHERE x IN f(1)", None),
    # functions that read by a name in a string, and those that somebody made in a schema
    (CH, "SELECT dictGet('d.x', 'y', id) FROM a", None),
    (PG, "SELECT query_to_xml('SELECT 1 FROM b', true, true, '') FROM a", None),
    (MS, "SELECT dbo.f(x) FROM a", None),
    (PG, "SELECT pg_catalog.now() FROM a", "a"),
    (BQ, "SELECT SAFE.SUBSTR(x, 1), NET.HOST(y) FROM d.a", "d.a"),
    # CTEs: names and where they are known
    (PG, "WITH x AS (SELECT 1 FROM a) SELECT 1 FROM x", "a"),
    (PG, "WITH a AS (SELECT 1 FROM a) SELECT 1 FROM a", "a"),
    (PG, "WITH a AS (SELECT 1) SELECT 1 FROM a", None),
    (PG, "WITH a AS (SELECT 1) SELECT 1 FROM s.a", "s.a"),
    (PG, "WITH x AS (SELECT 1 FROM y), y AS (SELECT 1 FROM x) SELECT 1 FROM y", "y"),
    (PG, "WITH x AS (SELECT 1 FROM a), y AS (SELECT 1 FROM x) SELECT 1 FROM y", "a"),
    (PG, "SELECT 1 FROM (WITH x AS (SELECT 1 FROM a) SELECT 1 FROM x) q, x", "a, x"),
    (PG, "(WITH x AS (SELECT 1 FROM a) SELECT 1 FROM x) UNION ALL SELECT 1 FROM x", "a, x"),
    (PG, "WITH x AS (SELECT 1 FROM a) SELECT 1 FROM x UNION ALL SELECT 1 FROM x", "a"),
    (PG, "WITH x AS (WITH y AS (SELECT 1 FROM a) SELECT 1 FROM y) SELECT 1 FROM x, y", "a, y"),
    (
        PG,
        "WITH x AS (SELECT 1 FROM a) SELECT 1 FROM b WHERE z IN (WITH w AS (SELECT 1 FROM x) SELECT 1 FROM w)",
        "a, b",
    ),
    (PG, "WITH RECURSIVE r AS (SELECT 1 FROM a UNION ALL SELECT 1 FROM r, b) SELECT 1 FROM r", "a, b"),
    (PG, "WITH RECURSIVE r AS (SELECT 1 FROM r UNION ALL SELECT 1 FROM r) SELECT 1 FROM r", "r"),
    (PG, 'WITH "Orders" AS (SELECT 1) SELECT 1 FROM orders', "orders"),
    (PG, 'WITH orders AS (SELECT 1) SELECT 1 FROM "Orders"', "orders"),
    (PG, 'WITH "Orders" AS (SELECT 1 FROM a) SELECT 1 FROM "Orders"', "a"),
    (PG, "WITH Orders AS (SELECT 1 FROM a) SELECT 1 FROM oRDERS", "a"),
    (CH, "WITH Orders AS (SELECT 1 FROM a) SELECT 1 FROM orders", "a, orders"),
    (CH, "WITH (SELECT max(x) FROM b) AS a SELECT a FROM a", "a, b"),
    (MS, "WITH x AS (SELECT 1 AS y FROM a) SELECT TOP 3 y FROM x", "a"),
    (PG, "WITH x AS (DELETE FROM a RETURNING *) SELECT 1 FROM x, b", "a, b"),
    # sqlglot forgets the outer of two WITHs, or the inner one
    (PG, "WITH x AS (SELECT 1) (WITH y AS (SELECT 1 FROM a) SELECT 1 FROM y, b)", None),
    (DUCK, "WITH x AS (SELECT 1) (WITH y AS (FROM a) FROM y, b)", None),
    (MY, "WITH x AS (DESCRIBE b) SELECT 1 FROM x, a", None),
    # what writing statements read
    (PG, "INSERT INTO t SELECT 1 FROM a", "a"),
    (PG, "WITH x AS (SELECT 1 FROM a) INSERT INTO t (y) SELECT 1 FROM x, b", "a, b"),
    (PG, "CREATE TABLE t AS SELECT 1 FROM a", "a"),
    (PG, "CREATE TABLE t AS TABLE a", "a"),
    (PG, "CREATE MATERIALIZED VIEW t AS SELECT 1 FROM a", "a"),
    (PG, "SELECT x INTO t FROM a", "a"),
    (PG, "CREATE TEMP TABLE t AS SELECT 1 FROM a; SELECT 1 FROM t", "a, t"),
    (PG, "WITH a AS (SELECT 1 FROM b) UPDATE a SET x = 1 FROM c", "a, b, c"),
    (PG, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM a'; SELECT 1 FROM b", None),
    # what is not understood
    (PG, "SELECT 1 FROM", None),
    (PG, "anything at all", None),
    (PG, "EXPLAIN SELECT 1 FROM a", None),
    (PG, "CALL f(); SELECT 1 FROM a", None),
    (PG, "SELECT 1 FROM a; SHOW x", None),
    (PG, "SELECT 1 FROM {{ x }}", None),
    (PG, "SELECT 1 FROM a, TABLE b", None),
    (PG, 'SELECT 1 FROM U&"d\\0061ta"', None),
    (MY, "SELECT 5--1 FROM a\nUNION SELECT 1 FROM b", None),
    (MY, "SELECT 1 FROM a -- 1 FROM x\nUNION SELECT 1 FROM b", "a, b"),
    (MY, "SELECT 1 FROM a /*! UNION SELECT 1 FROM b */", None),
    (BQ, "FROM d.a |> JOIN d.b USING (x) |> WHERE y > 1", None),
    ("kustokql", "StormEvents | take 5", None),
    ("elasticsearch", "SELECT 1 FROM a", None),
    ("no such engine", "SELECT 1 FROM a", None),
]


@pytest.mark.parametrize(("engine", "sql", "expected"), READ, ids=[f"{case[0]}: {case[1][:60]}" for case in READ])
def test_the_tables_that_are_read(engine: str, sql: str, expected: str | None) -> None:
    """Intent: no table is left out, CTEs are none, and what cannot be known is not guessed."""
    assert read_tables(sql, engine) == (None if expected is None else tables(expected))


WRITTEN = [
    # rows
    (PG, "INSERT INTO s.a (x) SELECT x FROM b", "s.a", False),
    (PG, "INSERT INTO a AS t VALUES (1) ON CONFLICT DO NOTHING RETURNING *", "a", False),
    (PG, "UPDATE ONLY a AS t SET x = 1 FROM b WHERE t.x = b.x", "a", False),
    (PG, "DELETE FROM a USING b WHERE a.x = b.x", "a", False),
    (PG, "MERGE INTO a AS t USING b ON t.x = b.x WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (x) VALUES (1)",
     "a", False),
    (BQ, "MERGE d.a T USING d.b S ON T.x = S.x WHEN NOT MATCHED THEN INSERT ROW", "d.a", False),
    (PG, "TRUNCATE a, ONLY s.b RESTART IDENTITY", "a, s.b", False),
    (PG, "TRUNCATE a CASCADE", None, False),
    (PG, "COPY s.a (x) FROM '/tmp/x'", "s.a", False),
    (PG, "COPY a TO '/tmp/x'", "", False),
    (PG, "WITH x AS (DELETE FROM a RETURNING *), y AS (UPDATE b SET z = 1) SELECT 1 FROM x", "a, b", False),
    (PG, "WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x", "a, b", False),
    (PG, "REFRESH MATERIALIZED VIEW CONCURRENTLY s.\"M\" WITH DATA", "s.m", False),
    (PG, "EXPLAIN ANALYZE INSERT INTO a SELECT 1", "a", False),
    (PG, "EXPLAIN (BUFFERS, ANALYZE) DELETE FROM a", "a", False),
    (TR, "EXPLAIN ANALYZE VERBOSE INSERT INTO s.a SELECT 1", "s.a", False),
    (MY, "REPLACE INTO `a b` VALUES (1)", "a b", False),
    (MY, "INSERT IGNORE INTO a SET x = 1", "a", False),
    (MY, "UPDATE a JOIN b ON a.x = b.x SET a.y = 1, b.y = 2", "a, b", False),
    (MY, "DELETE t FROM a AS t JOIN b ON t.x = b.x", "a", False),
    (MY, "DELETE a, b FROM a JOIN b USING (x)", "a, b", False),
    (MY, "DELETE FROM a, b USING a JOIN b USING (x)", "a, b", False),
    (MY, "LOAD DATA LOCAL INFILE '/tmp/x' INTO TABLE s.a FIELDS TERMINATED BY ','", "s.a", False),
    (BQ, "LOAD DATA OVERWRITE `p.d.a` FROM FILES (format='CSV')", "d.a", False),
    (MS, "UPDATE t SET x = 1 FROM dbo.a AS t JOIN b ON t.x = b.x", "dbo.a", False),
    (MS, "DELETE t FROM dbo.a AS t JOIN (SELECT 1 AS x FROM b AS c) q ON t.x = q.x", "dbo.a", False),
    (MS, "UPDATE a SET x = 1 FROM (SELECT 1 AS y FROM b AS a) q", "a", False),
    (MS, "WITH c AS (SELECT * FROM dbo.a) DELETE FROM c", "c, dbo.a", False),
    (MS, "DELETE a OUTPUT deleted.* INTO audit WHERE x = 1", "a, audit", False),
    (MS, "BULK INSERT s.a FROM '/tmp/x'", "s.a", False),
    (MS, "INSERT INTO @rows SELECT 1 FROM a", "", False),
    (SF, "COPY INTO a FROM @stage", "a", False),
    (SF, "COPY INTO @stage FROM a", "", False),
    (SF, "INSERT ALL INTO a INTO b SELECT * FROM c", "a, b", False),
    (SF, "BEGIN; INSERT INTO a VALUES (1); COMMIT", "a", False),
    (ORA, "DELETE FROM (SELECT * FROM a) WHERE x = 1", "a", False),
    (HIVE, "INSERT OVERWRITE TABLE a PARTITION (x=1) SELECT * FROM b", "a", False),
    (CH, "ALTER TABLE a DELETE WHERE x = 1", "a", False),
    (CH, "ALTER TABLE a MOVE PARTITION '2020' TO TABLE b", "a, b", False),
    (CH, "EXCHANGE TABLES a AND s.b", "a, s.b", False),
    (CH, "OPTIMIZE TABLE a FINAL", "a", False),
    # shape
    (PG, "CREATE TABLE s.a (x int)", "s.a", True),
    (PG, "CREATE TABLE a AS SELECT 1 FROM b", "a", True),
    (PG, "CREATE OR REPLACE VIEW a AS SELECT 1 FROM b", "a", True),
    (PG, "CREATE MATERIALIZED VIEW a AS SELECT 1 FROM b", "a", True),
    (PG, "SELECT x INTO a FROM b", "a", True),
    (MS, "SELECT x INTO s.a FROM b", "s.a", True),
    (SF, "CREATE OR REPLACE TABLE a CLONE b", "a", True),
    (PG, 'DROP TABLE IF EXISTS "A b", s.c CASCADE', "a b, s.c", True),
    (PG, "DROP MATERIALIZED VIEW /* it */ a -- is old", "a", True),
    (MS, "DROP TABLE [a b], [s].[c]", "a b, s.c", True),
    (BQ, "DROP TABLE `p-q.d.a`", "d.a", True),
    (PG, "ALTER TABLE a ADD COLUMN x int, DROP COLUMN y", "a", True),
    (PG, "ALTER TABLE a OWNER TO somebody", "a", True),
    (PG, "ALTER TABLE a RENAME COLUMN x TO y", "a", True),
    (PG, "ALTER TABLE a RENAME TO b", "a, b", True),
    (PG, "ALTER TABLE IF EXISTS ONLY s.a RENAME TO b", "s.a, s.b, b", True),
    (PG, "ALTER MATERIALIZED VIEW s.a SET SCHEMA t", "s.a, t.a", True),
    (MY, "ALTER TABLE a RENAME AS s.b", "a, s.b", True),
    (MY, "RENAME TABLE a TO b, s.c TO s.d", "a, b, s.c, s.d", True),
    (ORA, "RENAME a TO b", "a, b", True),
    (SF, "ALTER TABLE a SWAP WITH b", "a, b", False),
    (PG, "ALTER TABLE a ATTACH PARTITION s.b FOR VALUES IN (1)", "a, s.b", False),
    (MY, "ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b", "a, b", False),
    # several
    (PG, "INSERT INTO a SELECT 1; SELECT 1 FROM x; DROP TABLE b", "a, b", True),
    (PG, "SET search_path = other; DELETE FROM a", None, False),
    (PG, "SET search_path = other; DELETE FROM s.a", "s.a", False),
    (PG, "CREATE TEMP TABLE t AS SELECT 1 FROM a; INSERT INTO t SELECT 2; INSERT INTO b SELECT * FROM t", "b", False),
    (PG, "CREATE TEMP TABLE t (x int); DROP TABLE t; INSERT INTO t SELECT 1", "t", False),
    (PG, "SELECT temp t FROM a; INSERT INTO t SELECT 1", "t", False),
    # names that mean another table by then
    *((PG, sql, None, False) for sql in (
        "SELECT set_config('search_path', 'other', false); UPDATE a SET x = 1",
        "SELECT pg_catalog.set_config('search_path', 'other', true); UPDATE a SET x = 1",
        "WITH x AS (SELECT set_config('search_path', 'other', true)) UPDATE a SET x = 1",
        "SET LOCAL search_path = other; UPDATE a SET x = 1", "SET ROLE somebody; UPDATE a SET x = 1",
        "SET SESSION AUTHORIZATION somebody; UPDATE a SET x = 1", "RESET search_path; UPDATE a SET x = 1",
        "SET search_path = public, pg_temp; CREATE TEMP TABLE t (x int); UPDATE t SET x = 1",
        "CREATE TEMP TABLE t (x int); SET search_path = public, pg_temp; UPDATE t SET x = 1",
    )),
    *((PG, f"CREATE TEMP TABLE t (x int); {sql}; UPDATE t SET x = 1", expected, False) for sql, expected in (
        ("SELECT 1", ""), ("INSERT INTO t VALUES (1)", ""), ("ROLLBACK", "t"), ("COMMIT", "t"), ("END", "t"),
        ("ROLLBACK TO SAVEPOINT x", "t"), ("ABORT", "t"), ("DROP TABLE t", "t"), ("DISCARD TEMP", None),
    )),
    (PG, "CREATE TEMP TABLE t (x int); ALTER TABLE t RENAME TO u; UPDATE t SET x = 1", "t, u", True),
    (PG, "CREATE TEMP TABLE t (x int); UPDATE s.t SET x = 1", "s.t", False),
    # what a write did can no longer be asked
    *((PG, f"UPDATE t SET x = 1; {sql}", None, False) for sql in (
        "CREATE TABLE first.t (x int)", "SELECT 1 AS x INTO first.t", "DROP TABLE first.t", "DROP VIEW t",
        "ALTER TABLE first.u RENAME TO t", "ALTER TABLE other.t SET SCHEMA first", "ALTER TABLE t ADD y int",
        "CREATE OR REPLACE VIEW t AS SELECT 1", "DROP TRIGGER x ON t", "DROP RULE x ON t", "DROP FUNCTION f",
    )),
    (PG, "CREATE TABLE t (x int); INSERT INTO t SELECT 1; DROP TABLE t", "t", True),
    (PG, "CREATE TEMP TABLE t (x int) ON COMMIT DROP; UPDATE t SET x = 1", None, False),
    (PG, "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1; UPDATE t SET x = 1", None, False),
    (MS, "SELECT x INTO #t FROM a; INSERT INTO #t VALUES (1); DROP TABLE #t", "", False),
    # nothing
    (PG, "SELECT f(x), nextval('s') FROM a FOR UPDATE", "", False),
    (PG, "WITH x AS (SELECT 1) (WITH y AS (DELETE FROM a RETURNING 1) SELECT 1 FROM y)", None, False),
    (PG, "TABLE a", "", False),
    (PG, "", "", False),
    *((PG, sql, "", False) for sql in (
        "SET x = 1", "SET search_path TO a, b", "RESET ALL", "SHOW search_path", "BEGIN", "START TRANSACTION",
        "BEGIN ISOLATION LEVEL SERIALIZABLE", "COMMIT", "ROLLBACK", "SAVEPOINT a", "RELEASE SAVEPOINT a",
        "EXPLAIN DELETE FROM a", "VACUUM FULL a", "ANALYZE a", "GRANT DELETE ON a TO b", "REVOKE UPDATE ON a FROM b",
        "COMMENT ON TABLE a IS 'x'", "LOCK TABLE a IN SHARE UPDATE EXCLUSIVE MODE", "CREATE UNIQUE INDEX i ON a (x)",
        "DROP INDEX i", "REINDEX TABLE a", "LISTEN a", "NOTIFY a, 'b'", "CHECKPOINT", "DISCARD ALL",
    )),
    (MY, "DESCRIBE a", "", False),
    (MY, "SHOW CREATE TABLE a", "", False),
    (MY, "EXPLAIN ANALYZE SELECT 1 FROM a", "", False),
    (MS, "USE db", "", False),
    (MS, "SET NOCOUNT ON", "", False),
    (SF, "USE WAREHOUSE x", "", False),
    ("kustokql", "StormEvents | take 5", "", False),
    ("elasticsearch", "SELECT 1 FROM a", "", False),
    # anything may have been written
    *((PG, sql, None, False) for sql in (
        "CALL f()", "DO $$ BEGIN DELETE FROM a; END $$", "EXECUTE p(1)", "EXPLAIN ANALYZE EXECUTE p(1)",
        "DROP SCHEMA s CASCADE", "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER SCHEMA a RENAME TO b", "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z", "anything at all", "DELETE FROM",
        "COPY (DELETE FROM a RETURNING *) TO '/tmp/x'", "SELECT 1; CALL f()", "DELETE FROM a; anything at all",
    )),
    (MS, "EXEC sp_rename 'a', 'b'", None, False),
    (MS, "INSERT INTO a EXEC p", None, False),
    (MS, "SELECT 1 DELETE FROM a", None, False),
    (MS, "SET NOCOUNT ON DELETE FROM a", None, False),
    (MS, "ALTER TABLE a ADD x int DELETE FROM b", None, False),
    (MS, "BEGIN DELETE FROM a END", None, False),
    (MY, "DELETE QUICK FROM a", None, False),
    (MY, "SELECT 1 /*! ; DELETE FROM a */", None, False),
    (MY, "DROP DATABASE a", None, False),
    (ORA, "BEGIN p; END;", None, False),
    (ORA, "BEGIN DBMS_MVIEW.REFRESH('x'); END;", None, False),
    (BQ, "BEGIN DELETE FROM d.a WHERE true; END", None, False),
    (CH, "INSERT INTO FUNCTION remote('host', d.a) SELECT 1", None, False),
    (CH, "SYSTEM RELOAD DICTIONARIES", None, False),
    (CH, "TRUNCATE DATABASE d", None, False),
    ("kustokql", ".drop table StormEvents", None, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "sql", "expected", "shape"), WRITTEN, ids=[f"{case[0]}: {case[1][:60]}" for case in WRITTEN]
)
def test_the_tables_that_are_written(engine: str, sql: str, expected: str | None, shape: bool) -> None:
    """Intent: what somebody ran in SQL Lab drops what reads those tables, all where that cannot be told, else none."""
    assert written_tables(sql, engine) == (None if expected is None else Written(tables(expected), shape))


@pytest.mark.parametrize(
    ("sql", "is_ambiguous"),
    [
        ("UPDATE t SET x = 1", False),
        ("CREATE TABLE t (x int)", False),
        ("CREATE TABLE t (x int); UPDATE t SET x = 1", False),
        ("CREATE TABLE first.t (x int); UPDATE t SET x = 1", False),
        ("UPDATE s.t SET x = 1; CREATE TABLE first.t (x int)", False),
        ("UPDATE t SET x = 1; CREATE TABLE u (x int)", False),
        ("DROP TABLE s.t; CREATE TABLE s.t (x int)", False),
        ("DROP TABLE t", True),
        ("DROP TABLE t; CREATE TABLE t (x int)", True),
        ("ALTER TABLE t RENAME TO u", True),
        ("CREATE TEMP TABLE t (x int); DROP TABLE t", False),
    ],
)
def test_a_name_that_means_two_tables(sql: str, is_ambiguous: bool) -> None:
    """Intent: on a path of several schemas a name may mean one table before a statement and another one after it."""
    written = written_tables(sql, "postgresql")
    assert written is not None and written.is_ambiguous == is_ambiguous


def test_what_may_be_called() -> None:
    """Intent: only the source knows what a function does, so none is left out; what is no function does no harm."""
    written = written_tables(
        'SELECT own(1), s."Other" (2); INSERT INTO a (x) SELECT lower(x) FROM third()', "postgresql"
    )
    assert written is not None
    assert {"own", "other", "lower", "third"} <= written.calls


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("INSERT INTO a SELECT 1; CREATE TABLE b AS SELECT 1; DROP TABLE c", "a"),
        ("CREATE VIEW v AS SELECT 1; UPDATE v SET x = 1", "v"),
        ("WITH x AS (DELETE FROM a RETURNING 1) SELECT 1 FROM x", "a"),
        ("TRUNCATE a; COPY b FROM '/tmp/x'; MERGE INTO c USING d ON c.x = d.x WHEN MATCHED THEN DELETE", "a, b, c"),
    ],
)
def test_whose_rows_are_changed(sql: str, rows: str) -> None:
    """Intent: triggers act on rows; a table that is made or dropped has none that did."""
    written = written_tables(sql, "postgresql")
    assert written is not None and written.rows == tables(rows)


@pytest.mark.parametrize("size", [LIMIT_BYTES, LIMIT_BYTES + 1])
def test_long_sql_is_not_parsed(size: int) -> None:
    """Intent: 64 KB, in bytes, is the most that is worth the time."""
    for letter, width in (("x", 1), ("é", 2)):
        sql = "SELECT 1 FROM a".ljust(size - size % width)
        sql = sql[:15] + " -- " + letter * ((size - 19) // width) + "\n" * ((size - 19) % width)
        assert len(sql.encode()) == size
        assert (read_tables(sql, PG) is None) == (size > LIMIT_BYTES)


def test_a_thousand_selects_in_a_row() -> None:
    """Intent: depth in the parser's tree is no depth of calls here."""
    sql = " UNION ALL ".join(f"SELECT x FROM t{number}" for number in range(1000))
    assert read_tables(sql, PG) == {Table("", f"t{number}") for number in range(1000)}


def test_what_the_parser_drops_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a clause that sqlglot reads and forgets, as it does with some WITHs, leaves no table out."""
    having = Parser._parse_having
    monkeypatch.setattr(Parser, "_parse_having", lambda self, *rest: having(self, *rest) and None)
    assert read_tables("SELECT 1 FROM a GROUP BY x HAVING EXISTS (SELECT 1 FROM b)", PG) is None


def test_too_deep_for_the_parser_is_unknown() -> None:
    """Intent: a RecursionError is no failure of a chart."""
    assert read_tables("SELECT * FROM (" * 2000 + "a" + ") x" * 2000, PG) is None
