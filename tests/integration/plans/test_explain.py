"""What may be explained, and that explaining changes nothing: on a real PostgreSQL."""

# ruff: noqa: E501  (SQL that is easier to read in one line)
from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.errors import PlanError
from superset_ext.plans.explain import explain
from testing.databases import Databases
from testing.plans import connected, fill


@pytest.fixture(scope="module")
def source(databases: Databases) -> Iterator[str]:
    with databases.empty() as url:
        fill(url)
        yield url


def rows(url: str, sql: str) -> list[Any]:
    with closing(psycopg2.connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall()


STATE = "SELECT last_value, is_called, (SELECT count(*) FROM orders), (SELECT count(*) FROM pg_class) FROM counter"
REFUSED = (
    ("", "there is no SQL"), (" ; ", "there is no SQL"), ("DELETE FROM orders", "DELETE is not explained"),
    ("INSERT INTO few SELECT * FROM orders", "INSERT is not explained"), ("UPDATE few SET id = 1", "is not explained"),
    ("MERGE INTO few USING orders ON true WHEN MATCHED THEN DELETE", "is not explained"),
    ("TRUNCATE few", "is not explained"), ("DROP TABLE few", "is not explained"), ("VACUUM few", "not explained"),
    ("COPY few TO PROGRAM 'touch /tmp/x'", "COPY is not explained"),
    ("COPY (SELECT 1) TO PROGRAM 'touch /tmp/x'", "COPY is not explained"),
    ("WITH gone AS (DELETE FROM few RETURNING id) SELECT * FROM gone", "it writes (DELETE)"),
    ("WITH added AS (INSERT INTO few SELECT * FROM orders RETURNING id) SELECT * FROM added", "it writes (INSERT)"),
    ("SELECT * INTO copied FROM few", "it writes (SELECT INTO)"), ("CREATE TABLE copied AS SELECT 1", "is not explained"),
    ("SELECT * FROM few FOR UPDATE", "locks rows"), ("SELECT * FROM few FOR NO KEY UPDATE", "locks rows"),
    ("SELECT id FROM (SELECT id FROM few FOR SHARE) AS f", "locks rows"),
    ("SELECT 1; SELECT 2", "there are 2 statements"), ("SELECT 1; COMMIT; DROP TABLE few", "there are 3 statements"),
    (r"SELECT 'a\'; DROP TABLE few; --'", "statement"), ("SELECT $a$;$a$ ; DROP TABLE few", "statement"),
    ("SELECT E'a\\'; DROP TABLE few; --'", "statement"), ("SELECT 1 /* ; */ , ';'", "may be several"),
    ("EXPLAIN SELECT 1", "is not explained"), ("ANALYZE few", "is not explained"), ("CALL louder(1, 2)", "is not explained"),
    ("DO $$ BEGIN END $$", "is not explained"), ("SET ROLE postgres", "is not explained"), ("secret word", "is not explained"),
    ("SELECT 'unclosed", "a quote"), ("SELECT FROM WHERE GROUP", "cannot be parsed"),
)  # fmt: skip


@pytest.mark.parametrize(("sql", "reason"), REFUSED)
@pytest.mark.parametrize("analyze", [False, True])
def test_anything_but_one_select_is_refused(source: str, sql: str, reason: str, analyze: bool) -> None:
    """Intent: nothing but one SELECT that only reads reaches the source; the line says why, without a value."""
    before = rows(source, STATE)
    with connected(source) as connection, pytest.raises(PlanError) as refusal:
        explain(connection, sql, analyze=analyze)
    assert reason in str(refusal.value) and "\n" not in str(refusal.value) and "secret" not in str(refusal.value)
    assert rows(source, STATE) == before


VOLATILE = (
    "SELECT pg_sleep(600)", "SELECT id, nextval('counter') FROM few", "SELECT * FROM pg_sleep(600)", "SELECT * FROM noise",
    "SELECT noisy(id) FROM few", "SELECT id <-> 1 FROM few", "SELECT loudest(id) FROM few", "SELECT set_config('a.b', 'c', true)",
    "SELECT id FROM few WHERE id > (SELECT nextval('counter'))", 'SELECT "nextval"(\'counter\')',
    "SELECT pg_read_file('x')", "SELECT pg_notify('a', 'b')", "SELECT id FROM few ORDER BY nextval('counter')",
    "SELECT * FROM query_to_xml('DELETE FROM few', true, true, '')", "SELECT lo_create(0)",
    "SELECT id FROM few GROUP BY id HAVING noisy(id) > 0", "SELECT (SELECT pg_advisory_lock(1))", "SELECT currval('counter')",
    "SELECT CASE WHEN id < 0 THEN nextval('counter') END FROM few",
    "SELECT * FROM few TABLESAMPLE bernoulli (10) WHERE pg_sleep(1) IS NULL",
)  # fmt: skip


@pytest.mark.parametrize("sql", VOLATILE)
def test_what_may_do_more_is_not_run(source: str, sql: str) -> None:
    """Intent: with --analyze, a function, operator or aggregate that is volatile is named and not run, wherever it
    stands, in a view too; without, it is explained."""
    before = rows(source, STATE)
    with connected(source) as connection:
        assert explain(connection, sql).plan.root.actual is None
        with pytest.raises(PlanError, match="may do more than return a value"):
            explain(connection, sql, analyze=True)
    assert rows(source, STATE) == before


def test_nothing_is_left_in_the_session(source: str) -> None:
    """Intent: a kept connection is given back without a transaction, a limit or a lock."""
    with connected(source) as connection:
        plan = explain(connection, "SELECT count(*) FROM orders", analyze=True).plan
        assert plan.root.actual is not None and plan.execution_ms is not None
        assert connection.status == psycopg2.extensions.STATUS_READY
        cursor = connection.cursor()
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
        cursor.execute("SHOW transaction_read_only")
        assert cursor.fetchone() == ("off",)


def test_it_cannot_write_whatever_it_calls(source: str) -> None:
    """Intent: a function that lies about itself writes nothing, for the transaction is read-only."""
    with closing(psycopg2.connect(source)) as admin:
        admin.autocommit = True
        admin.cursor().execute(
            "CREATE FUNCTION liar() RETURNS int LANGUAGE plpgsql STABLE AS "
            "$$ BEGIN EXECUTE 'SELECT nextval(''counter'')'; RETURN 1; END $$"
        )
    before = rows(source, "SELECT last_value, is_called FROM counter")
    with connected(source) as connection, pytest.raises(PlanError, match="does not explain it"):
        explain(connection, "SELECT id FROM few WHERE id = liar()", analyze=True)
    assert rows(source, "SELECT last_value, is_called FROM counter") == before


def test_it_waits_for_no_lock(source: str) -> None:
    """Intent: a table that somebody alters is not waited for."""
    with closing(psycopg2.connect(source)) as holder, connected(source) as connection:
        holder.cursor().execute("LOCK TABLE few IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(PlanError, match="is locked"):
            explain(connection, "SELECT * FROM few")


def test_it_ends_in_time(source: str) -> None:
    """Intent: a query that is run to be explained is ended after its time."""
    pairs = (
        "SELECT count(*) FROM orders AS a, orders AS b, orders AS c WHERE a.amount < b.amount AND c.amount > b.amount"
    )
    with connected(source) as connection, pytest.raises(PlanError, match=r"within 0\.2 s"):
        explain(connection, pairs, seconds=0.2, analyze=True)
