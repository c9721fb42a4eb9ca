"""What PostgreSQL's catalog tells of a table: the real relations, whatever the names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import create_engine

from superset_ext.core.sql_folder import query_text
from superset_ext.embedded.postgres import Postgres
from superset_ext.freshness.relations.postgresql import follow
from superset_ext.sqltables.reads import read_tables
from superset_ext.sqltables.table import Table
from testing.relations import run
from testing.sql_text import NAMES, Query, queries, tables


def followed(url: str, names: str, *before: str) -> frozenset[Table]:
    """What `follow` says of `a, s.b`, on a connection that has run statements before."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for statement in before:
            cursor.execute(statement)
        return follow(connection, tables(names))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("base", "public.base"),
        ("public.base", "public.base"),
        ("v1", "public.v1, public.base"),
        ("m1", "public.m1, public.v1, public.base"),
        ("v2", "public.v2, public.m1, public.v1, public.base, public.other"),
        ("walk", "public.walk, public.base, public.other"),
        ("sales", "public.sales"),
        ("sales_2026_1", "public.sales_2026_1, public.sales_2026, public.sales"),
        ("first", "public.first, public.sales_2026_1, public.sales_2026, public.sales"),
        ("staff", "public.staff, public.people"),
        ("people", "public.people"),
        ("far.seen", 'far.seen, far.mixed case'),
        ("over_there", "public.over_there, far.seen, far.mixed case"),
        ("far.base", "far.base"),
        ("mixed case", "mixed case"),
        ("guarded", "public.guarded, public.rights"),
        ("clear", "public.clear, public.other"),
        ("gone, far.gone, nowhere.base", "gone, far.gone, nowhere.base"),
        ("v1, other, gone", "public.v1, public.base, public.other, gone"),
        ("pg_class", "pg_catalog.pg_class"),
        ("", ""),
    ],
)  # fmt: skip
def test_all_that_a_table_depends_on(url: str, names: str, expected: str) -> None:
    """Intent: down through views to the tables, up from a partition, and no further; what is not there stays."""
    assert followed(url, names) == tables(expected)


def test_names_are_those_of_the_search_path(url: str) -> None:
    """Intent: a name without schema means what it means to the query."""
    assert followed(url, "base", 'SET search_path = "Far", public') == tables("far.base")
    assert followed(url, "mixed case", 'SET search_path = "Far"') == tables("far.mixed case")
    assert followed(url, "v1", 'SET search_path = "Far"') == tables("v1")


def test_a_view_follows_its_table_when_that_is_renamed(database_url: str) -> None:
    """Intent: PostgreSQL knows tables by number; a view goes on, and what it reads has another name."""
    run(database_url, "CREATE TABLE before (a int)", "CREATE VIEW v AS SELECT a FROM before")
    assert followed(database_url, "v") == tables("public.v, public.before")
    run(database_url, "ALTER TABLE before RENAME TO after", "CREATE SCHEMA s", "ALTER TABLE after SET SCHEMA s")
    assert followed(database_url, "v") == tables("public.v, s.after")
    run(database_url, "DROP TABLE s.after CASCADE")
    assert followed(database_url, "v") == tables("v")


def test_names_that_differ_in_case_alone_are_one(database_url: str) -> None:
    """Intent: a tag has no case, so it stands for both."""
    run(
        database_url,
        "CREATE TABLE one (a int); CREATE TABLE two (a int); CREATE VIEW v AS SELECT a FROM one",
        'CREATE VIEW "V" AS SELECT a FROM two',
    )
    assert followed(database_url, "public.v") == tables("public.v, public.one, public.two")
    assert followed(database_url, "v") == tables("public.v, public.one, public.two")


def test_a_schema_that_may_not_be_used_is_followed(url: str, postgres: Postgres) -> None:
    """Intent: a view shows tables that its readers may not read."""
    run(
        url,
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN PASSWORD 'reader'",
        "GRANT SELECT ON over_there TO reader",
    )
    asking = f"postgresql://reader:reader@127.0.0.1:{postgres.port}/views_of_tables"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(asking, 'SELECT * FROM "Far"."Mixed Case"')
    assert followed(asking, "over_there") == tables("public.over_there, far.seen, far.mixed case")
    run(url, "DROP OWNED BY reader", "DROP ROLE reader")


def test_a_function_hides_what_a_view_reads(url: str) -> None:
    """Intent: PostgreSQL does not know what the text of a function reads, and so nobody does."""
    with pytest.raises(LookupError, match=r"opaque is a view that calls total\(\), which may read anything"):
        followed(url, "opaque")


def test_letters_that_the_server_folds_otherwise_are_no_answer(database_url: str) -> None:
    """Intent: names are compared in lower case; where ours is another one, a view is not taken for a table."""
    run(database_url, "CREATE TABLE base (a int)", 'CREATE VIEW "Maß" AS SELECT a FROM base')
    run(database_url, 'CREATE VIEW "Größe" AS SELECT a FROM base', 'CREATE VIEW "Übersicht" AS SELECT a FROM base')
    assert followed(database_url, "base, ÜBERSICHT, mas, s.mass") == tables(
        "public.base, public.übersicht, mas, s.mass"
    )
    for name in ("Maß", "public.Maß", "MASS", "Größe"):
        with pytest.raises(LookupError, match="has letters that are folded otherwise"):
            followed(database_url, name)


def test_ten_thousand_relations_take_no_time(database_url: str) -> None:
    """Intent: the answer is waited for by a chart: names are read once, and a few pages for each that is asked."""
    run(
        database_url,
        "CREATE TABLE base (a int); CREATE VIEW v AS SELECT a FROM base",
        "DO $$ BEGIN FOR n IN 1..1000 LOOP EXECUTE 'CREATE VIEW v' || n || ' AS SELECT a FROM base'; END LOOP; END $$",
        "DO $$ BEGIN FOR n IN 1..9000 LOOP EXECUTE 'CREATE TABLE t' || n || ' ()'; END LOOP; END $$",
        "ANALYZE",
    )
    names = "v, v7, " + ", ".join(f"t{number}" for number in range(1, 40))
    with closing(psycopg2.connect(database_url)) as connection:
        relations = follow(connection, tables(names))
        assert relations == tables("public.v, public.v7, public.base") | {
            Table("public", f"t{n}") for n in range(1, 40)
        }
        asked = {"schemas": [""] * 41, "names": names.split(", "), "parted": False}
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query_text('postgresql_table_relations')}", asked)
            (((plan,),),) = cursor.fetchall()
            cursor.execute("SELECT pg_relation_size('pg_class') / 8192")
            ((pages,),) = cursor.fetchall()
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < pages + 10 * 41, plan


def test_both_kinds_of_connections_will_do(url: str) -> None:
    """Intent: Superset hands out the driver's and SQLAlchemy's."""
    engine = create_engine(url)
    with engine.connect() as connection:
        assert follow(connection, tables("v1")) == tables("public.v1, public.base")
    with closing(engine.raw_connection()) as raw:
        assert follow(raw, tables("v1")) == tables("public.v1, public.base")
    engine.dispose()


# What PostgreSQL itself says that a query reads


@pytest.fixture(scope="module")
def plans(postgres: Postgres) -> Iterator[Callable[[str], frozenset[Table]]]:
    """Asks a PostgreSQL that has the tables of the made up queries which relations it reads for one."""
    made = postgres.create_database("plans_of_queries")
    run(made, *(f"CREATE TABLE {name} (a int)" for name in (*NAMES, "x")))
    with closing(psycopg2.connect(made)) as connection, connection.cursor() as cursor:

        def read(sql: str) -> frozenset[Table]:
            cursor.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {sql}")
            (plan,) = cursor.fetchone()
            return frozenset(relations(plan if isinstance(plan, list) else json.loads(plan)))

        yield read


def relations(plan: Any) -> Iterator[Table]:
    """The relations in a plan."""
    if isinstance(plan, list):
        for node in plan:
            yield from relations(node)
    if isinstance(plan, dict):
        if "Relation Name" in plan:
            yield Table(plan["Schema"], plan["Relation Name"])
        yield from relations(list(plan.values()))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(queries())
def test_postgresql_reads_nothing_else(plans: Callable[[str], frozenset[Table]], query: Query) -> None:
    """Intent: the scopes of CTEs are those of a real server, not of our reading of the standard."""
    read = read_tables(query.sql, "postgresql")
    named = {Table("public", table.name) for table in read or ()}
    assert query.double or plans(query.sql) <= named


def test_the_plan_of_a_shadowed_table(plans: Callable[[str], frozenset[Table]]) -> None:
    """Intent: the comparison above sees tables, and CTEs as what they are."""
    assert plans("WITH orders AS (SELECT a FROM orders) SELECT 1 FROM orders") == tables("public.orders")
    assert plans("WITH orders AS (SELECT a FROM users) SELECT 1 FROM orders") == tables("public.users")
    assert plans("TABLE items") == tables("public.items")
