"""What a write writes beside the table that it names: on a real PostgreSQL, whose rows before and after decide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.freshness.relations.bodies import read_body
from superset_ext.freshness.relations.effects import written_with
from superset_ext.freshness.relations.postgresql import ask
from superset_ext.sqltables.table import Table
from superset_ext.sqltables.writes import written_tables
from testing.edited import run
from testing.sql_text import tables

SHAPES = """
CREATE TABLE base (owner text, v int PRIMARY KEY);
CREATE TABLE other (owner text, v int);
CREATE VIEW through AS SELECT * FROM base WHERE v < 100;
CREATE VIEW deeper AS SELECT owner, v FROM through;
CREATE VIEW together AS SELECT base.owner, count(*) FROM base JOIN other USING (owner) GROUP BY 1;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM base;

CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE grandchild (id int, child int REFERENCES child ON DELETE SET NULL);
CREATE TABLE bystander (id int, parent int REFERENCES parent);

CREATE TABLE ruled (v int);
CREATE TABLE ruled_log (v int);
CREATE RULE note AS ON INSERT TO ruled DO ALSO INSERT INTO ruled_log VALUES (new.v);
CREATE VIEW front AS SELECT 1 AS v;
CREATE RULE instead AS ON INSERT TO front DO INSTEAD INSERT INTO other VALUES ('front', new.v);

CREATE TABLE audited (v int);
CREATE TABLE audit (v int, at timestamptz);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN -- INSERT INTO nowhere
  IF TG_OP = 'DELETE' THEN INSERT INTO audit VALUES (old.v, now()); RETURN old; END IF;
  INSERT INTO public.audit (v, at) VALUES (new.v, now()) ON CONFLICT DO NOTHING;
  RETURN new;
END $$;
CREATE TRIGGER note AFTER INSERT OR DELETE ON audited FOR EACH ROW EXECUTE FUNCTION note();

CREATE VIEW window_on AS SELECT owner, count(*) AS v FROM other GROUP BY 1;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO audited VALUES (new.v); RETURN new; END';
CREATE TRIGGER instead INSTEAD OF INSERT ON window_on FOR EACH ROW EXECUTE FUNCTION instead();

CREATE TABLE stamped (v int, at timestamptz);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.at := clock_timestamp(); RETURN new; END';
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION stamp();

CREATE TABLE dynamic (v int);
CREATE FUNCTION anything() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN EXECUTE 'INSERT INTO ' || 'ot' || 'her VALUES (''dynamic'', 1)'; RETURN new; END$$;
CREATE TRIGGER anything AFTER INSERT ON dynamic FOR EACH ROW EXECUTE FUNCTION anything();

CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS
  'BEGIN INSERT INTO other VALUES (''f'', 2); RETURN 1; END';
CREATE FUNCTION indirect() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.v := writes(); RETURN new; END';
CREATE TABLE indirectly (v int);
CREATE TRIGGER indirect BEFORE INSERT ON indirectly FOR EACH ROW EXECUTE FUNCTION indirect();
CREATE TABLE defaulted (v int, w int DEFAULT writes());
CREATE FUNCTION twice(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * n';

CREATE TABLE whole (v int) PARTITION BY LIST (v);
CREATE TABLE part PARTITION OF whole FOR VALUES IN (1);
CREATE TRIGGER note AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION note();

CREATE SCHEMA far;
CREATE TABLE far.base (owner text, v int);
INSERT INTO base SELECT 'b', n FROM generate_series(1, 9) n;
INSERT INTO parent SELECT n FROM generate_series(1, 5) n;
INSERT INTO child SELECT n, n FROM generate_series(1, 5) n;
INSERT INTO grandchild SELECT n, n FROM generate_series(1, 5) n;
"""
KNOWN = [
    ("UPDATE base SET owner = 'x'", "public.base"),
    ("UPDATE far.base SET owner = 'x'", "far.base"),
    ("DELETE FROM through WHERE v = 1", "public.through, public.base"),
    ("INSERT INTO deeper VALUES ('d', 42)", "public.deeper, public.through, public.base"),
    ("DELETE FROM parent WHERE id = 1", "public.parent, public.child, public.grandchild"),
    ("UPDATE parent SET id = 20 WHERE id = 2", "public.parent, public.child, public.grandchild"),
    ("INSERT INTO ruled VALUES (1)", "public.ruled, public.ruled_log"),
    ("INSERT INTO front VALUES (1)", "public.front, public.other"),
    ("INSERT INTO audited VALUES (1)", "public.audited, public.audit"),
    ("INSERT INTO window_on VALUES ('w', 1)", "public.window_on, public.audited, public.audit"),
    ("INSERT INTO stamped VALUES (1)", "public.stamped"),
    ("INSERT INTO whole VALUES (1)", "public.whole, public.audit"),
    ("INSERT INTO part VALUES (1)", "public.part, public.whole, public.audit"),
    ("INSERT INTO bystander SELECT twice(1), 3 WHERE lower('A') = 'a'", "public.bystander"),
    ("WITH x AS (INSERT INTO audited VALUES (1) RETURNING v) INSERT INTO stamped SELECT v FROM x",
     "public.audited, public.audit, public.stamped"),
    ("TRUNCATE far.base", "far.base"),
    ("INSERT INTO far.base SELECT 'x', 1; UPDATE through SET owner = 'y'", "far.base, public.through, public.base"),
]  # fmt: skip
UNKNOWN = [
    "INSERT INTO dynamic VALUES (1)",
    "INSERT INTO indirectly VALUES (1)",
    "INSERT INTO defaulted VALUES (1)",
    "INSERT INTO far.base SELECT 'x', writes()",
    "CREATE TABLE made (v int); SELECT writes()",
    "INSERT INTO gone VALUES (1)",
]


@pytest.fixture
def source(database_url: str) -> Iterator[Any]:
    run(database_url, SHAPES)
    with closing(psycopg2.connect(database_url)) as connection:
        yield connection


def written(connection: Any, sql: str) -> frozenset[Table]:
    piece = written_tables(sql, "postgresql")
    assert piece is not None
    return written_with(connection, piece.tables, piece.calls)


def state(connection: Any) -> dict[Table, int]:
    """Each table's rows, as a number."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'far') ORDER BY 1, 2"
        )
        names = cursor.fetchall()
        contents = {}
        for schema, name in names:
            cursor.execute(f"SELECT count(*), coalesce(sum(hashtext(t::text)::bigint), 0) FROM {schema}.{name} t")
            contents[Table(schema, name)] = hash(cursor.fetchone())
        return contents


@pytest.mark.parametrize(("sql", "expected"), KNOWN, ids=[sql for sql, _ in KNOWN])
def test_what_is_written_is_known(source: Any, sql: str, expected: str) -> None:
    """Intent: no table whose rows are others is left out; and nothing else is named, so that its entries stay."""
    relations = written(source, sql)
    before = state(source)
    with source.cursor() as cursor:
        cursor.execute(sql)
    after = state(source)
    parts = tables("public.part")  # whose entries carry the tag of their whole
    assert {table for table in before if before[table] != after[table]} - parts <= relations
    assert relations == tables(expected)


@pytest.mark.parametrize("sql", UNKNOWN)
def test_what_may_be_anything_is_not_known(source: Any, sql: str) -> None:
    """Intent: a function that builds its statements, one that is called in an expression or a default, a table gone."""
    with pytest.raises(LookupError):
        written(source, sql)


def test_what_is_switched_off_does_nothing(source: Any) -> None:
    """Intent: the catalog knows that too, and a materialized view is not written through."""
    with source.cursor() as cursor:
        cursor.execute("ALTER TABLE dynamic DISABLE TRIGGER anything; ALTER TABLE ruled DISABLE RULE note")
    assert written(source, "INSERT INTO dynamic VALUES (1)") == tables("public.dynamic")
    assert written(source, "INSERT INTO ruled VALUES (1)") == tables("public.ruled")
    assert written_with(source, tables("kept"), ()) == tables("public.kept")
    assert written_with(source, tables("together"), ()) == tables("public.together")


@pytest.mark.parametrize(
    ("text", "writes"),
    [
        ("BEGIN new.at := now(); RETURN new; END", ""),
        ("BEGIN UPDATE ONLY s.a SET x = 1; DELETE FROM \"B c\"; TRUNCATE d; RETURN null; END", 's.a, *.B c, *.d'),
        ("BEGIN MERGE INTO a USING b ON true WHEN MATCHED THEN DO NOTHING; END", "*.a"),
        ("BEGIN /* DELETE FROM x */ -- UPDATE y\n PERFORM 1; END", None),
        ("BEGIN EXECUTE 'x'; END", None),
        ("BEGIN EXECUTE format('INSERT INTO %I', TG_ARGV[0]); END", None),
        ("BEGIN SELECT 'INSERT INTO x' INTO a; RETURN new; END", ""),
        ("BEGIN INSERT INTO a SELECT * FROM b ON CONFLICT DO UPDATE SET x = 1; END", "*.a"),
        ("BEGIN PERFORM set_config('search_path', 'x', true); INSERT INTO a VALUES (1); END", None),
        ("BEGIN SELECT x INTO y FROM b FOR UPDATE; RETURN new; END", ""),
        ("BEGIN REFRESH MATERIALIZED VIEW a; END", None),
        ("BEGIN CREATE TABLE a AS SELECT 1; END", None),
    ],
)  # fmt: skip
def test_a_body_is_read_or_refused(text: str, writes: str | None) -> None:
    """Intent: plain writes are read, comments and texts are none, and what builds statements is refused."""
    if writes is None:
        with pytest.raises(LookupError):
            read_body(text)
    else:
        assert read_body(text).tables == tables(writes)


def test_the_parts_of_a_write_are_asked_as_the_relations_are(source: Any) -> None:
    """Intent: both queries name a partition's whole alike."""
    assert ask(source, tables("part")).ancestors(Table("", "part")) == tables("public.part, public.whole")
