"""A question in SQL of one's own: what it may do, how long it may take, and what is kept of its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from superset_ext.embedded.postgres import Postgres
from superset_ext.freshness.probe import threads as probe_threads
from testing.probes import PATIENCE, Charts, Source, registered, until


def test_a_slow_statement_ends_in_time(source: Source, charts: Charts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: PostgreSQL itself ends what takes too long, and says so."""
    monkeypatch.setattr(probe_threads, "GRACE_SECONDS", PATIENCE)
    probe = source.probe(sql="SELECT pg_sleep(30)", timeout=0.3)
    (outcome,) = charts.outcomes(0, probe)
    assert outcome.state == "failing"
    assert "canceling statement due to statement timeout" in str(outcome.error)
    asking = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"
    assert until(lambda: source.rows(asking) == [(0,)])


WRITES = [
    "DELETE FROM t",
    "WITH gone AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM gone",
    "SELECT * INTO copied FROM t",
    "SELECT n FROM t FOR UPDATE",
    "TRUNCATE t",
    "CREATE TABLE u AS SELECT 1",
    "CALL nothing()",
    "SET search_path = x",
    "SELECT 1; DELETE FROM t",
    "SELECT 1; SELECT 2",
    "EXPLAIN ANALYZE DELETE FROM t",
    "DO $$ BEGIN DELETE FROM t; END $$",
    "SELEC 1",
    "-- nothing",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_statement_that_does_more_than_read_is_refused(source: Source, charts: Charts, sql: str) -> None:
    """Intent: a probe is one SELECT, and nothing else reaches the source."""
    (outcome,) = charts.outcomes(0, source.probe(sql=sql))
    assert outcome.state == "failing"
    assert str(outcome.error).startswith("its sql ")
    assert str(outcome.error).endswith("; write one SELECT")
    assert source.rows("SELECT count(*) FROM t") == [(2,)]


def test_a_function_that_writes_is_refused_by_postgresql(source: Source, charts: Charts) -> None:
    """Intent: what no parser can see, the transaction does not allow."""
    source.run("CREATE FUNCTION w() RETURNS int LANGUAGE sql AS 'DELETE FROM t RETURNING 1'")
    for extra in ({}, {"engine_params": {"isolation_level": "AUTOCOMMIT"}}):
        (outcome,) = charts.outcomes(0, registered(source.url, extra).probe(sql="SELECT w()"))
        assert "read-only transaction" in str(outcome.error)
    assert source.rows("SELECT count(*) FROM t") == [(2,)]


def test_bytes_are_compared_by_what_they_are(source: Source, charts: Charts) -> None:
    """Intent: an object of the driver is another one each time; what has no text is refused."""
    probe = source.probe(sql="SELECT decode(n::text, 'escape') FROM t WHERE id = 1")
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    (outcome,) = charts.outcomes(0, source.probe(sql="SELECT ARRAY[decode('1', 'escape')]"))
    assert outcome.error == "it gives a value that has no text; cast it in sql"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [("SELECT n FROM t", "it gives several rows"), ("SELECT n FROM t WHERE n = 0", "it gives no row")],
)
def test_an_answer_is_one_row(source: Source, charts: Charts, sql: str, reason: str) -> None:
    """Intent: rows in no order would be another answer each time."""
    (outcome,) = charts.outcomes(0, source.probe(sql=sql))
    assert str(outcome.error).startswith(reason)


def test_sql_is_run_as_it_is_written(source: Source, charts: Charts) -> None:
    """Intent: percent signs, colons and unqualified names of the probe's schema are the source's."""
    source.run("CREATE SCHEMA other", "CREATE TABLE other.u (n text)", "INSERT INTO other.u VALUES ('10%:x')")
    probe = source.probe(table="other.u", sql="SELECT count(*), max(n) FROM u WHERE n LIKE '%:x' -- all")
    assert charts.seen(probe) == "changed"
    assert charts.seen(probe) == "unchanged"
    source.run("INSERT INTO other.u VALUES ('20%:x')")
    assert charts.seen(probe) == "changed"


def test_no_value_and_no_secret_is_kept(context: Any, source: Source, charts: Charts, postgres: Postgres) -> None:
    """Intent: the answer is a keyed hash, and an error names no password."""
    import hashlib

    probe = source.probe(sql="SELECT 123456789")
    charts.run(0, probe)
    kept = json.dumps(charts.row(probe), default=str)
    assert "123456789" not in kept.replace(probe.key, "")
    plain = [hashlib.sha256(text.encode()).hexdigest() for text in ("123456789", "(123456789,)", "[123456789]")]
    assert charts.row(probe)["answer"] not in plain
    wrong = registered(f"postgresql://u:top%20secret@127.0.0.1:{postgres.port}/x?application_name=top%20secret")
    (outcome,) = charts.outcomes(0, wrong.probe(sql="SELECT 'postgresql://a:hidden@h/x'::int"))
    assert outcome.state == "failing" and "secret" not in str(outcome.error)
    (outcome,) = charts.outcomes(0, source.probe(sql="SELECT 'postgresql://a:hidden@h/x'::int"))
    assert "***@h/x" in str(outcome.error) and "hidden" not in str(outcome.error)
    password = str(make_url(source.url).password)
    (outcome,) = charts.outcomes(0, source.probe(sql=f"SELECT 'of {password}'::int"))
    assert "of ***" in str(outcome.error)
    (outcome,) = charts.outcomes(0, source.probe(sql=f"SELECT '{'x' * 2000}'::int"))
    assert len(charts.row(outcome.probe)["error"]) == 500


def test_a_source_is_asked_as_nobody(context: Any, source: Source, charts: Charts) -> None:
    """Intent: whoever is logged in where the probe runs, the database is asked as its own user."""
    from flask import g

    users: list[Any] = []

    def mutator(uri: Any, params: Any, username: Any, *_: Any) -> tuple[Any, Any]:
        users.append(username)
        return uri, params

    g.user = type("User", (), {"username": "ann", "id": 1, "email": "a@b"})()
    context.config["DB_CONNECTION_MUTATOR"] = mutator
    try:
        charts.run(0, source.probe())
    finally:
        context.config["DB_CONNECTION_MUTATOR"] = None
    assert users and set(users) == {None}
