"""`superset perf indexes` in a real Superset, on a real source, from a real query log."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.plans.indexes.live import live_statements
from superset_ext.plans.indexes.workload import workload
from testing.databases import Databases
from testing.in_process import InProcess
from testing.indexes import BY_CUSTOMER, objects
from testing.plans_source import source_in
from testing.shop_source import shop_in

NAME = f"shop {uuid.uuid4().hex[:8]}"
CHART = f"sales of {NAME}"  # as `shop_in` calls it


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[str]:
    """The URL of a source that Superset knows by `NAME`, which a chart has asked three times; its log is written."""
    with databases.empty() as url, shop_in(in_process, url, NAME):
        yield url


def advice(app: InProcess, *words: str) -> Any:
    result = app.perf("indexes", "--json", *words)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.output)


def test_the_slow_chart_leads_to_its_index(superset_app: InProcess, source: str) -> None:
    """Intent: from what a chart asked to a statement that somebody can run, with who gains; the source is as before."""
    before = objects(source)
    (result,) = advice(superset_app, "--database", NAME)
    (proposal,) = result["proposals"]
    assert proposal["create"].startswith("CREATE INDEX CONCURRENTLY ")
    assert 'ON "public"."sales" USING btree ("customer", "placed")' in proposal["create"]
    assert proposal["drop"].startswith("DROP INDEX CONCURRENTLY IF EXISTS ")
    assert [chart["name"] for chart in proposal["charts"]] == [CHART]
    assert result["costed"]
    assert 625.0 < proposal["seconds_saved"] < 750.0
    assert proposal["seconds_that_could_use_it"] == pytest.approx(750.0)
    assert [(item["kind"], item["index"]) for item in result["needless"]] == [("duplicate", "sales_shop")]
    assert objects(source) == before


def test_a_person_reads_the_same(superset_app: InProcess, source: str) -> None:
    """Intent: the text has the statements, the charts, and how costs came about; no value of a query is in it."""
    result = superset_app.perf("indexes", "--database", NAME)
    assert result.exit_code == 0, (result.output, result.exception)
    parts = ("CREATE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY", CHART, "costed by a PostgreSQL 18 without rows",
             "duplicate: sales_shop")  # fmt: skip
    for part in parts:
        assert part in result.output
    assert "2024-03-01" not in result.output


def test_a_budget_is_kept(superset_app: InProcess, source: str) -> None:
    """Intent: nothing is proposed that does not fit, and a size is read as people write it."""
    (result,) = advice(superset_app, "--database", NAME, "--budget", "1KB")
    assert (result["proposals"], result["budget_bytes"]) == ([], 1024)
    bad = superset_app.perf("indexes", "--database", NAME, "--budget", "much")
    assert (bad.exit_code, "'much' is no size" in bad.output) == (2, True)


def test_another_engine_is_refused_with_a_line(superset_app: InProcess, source: str) -> None:
    """Intent: what cannot be advised is named, with the reason; so is a database that there is not."""
    for name, reason in ((f"{NAME} of another kind", "is sqlite"), ("no such one", "Superset has no database")):
        result = superset_app.perf("indexes", "--database", name)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1), result.output
        assert reason in result.output


def test_a_source_that_is_away_hides_no_other(superset_app: InProcess, source: str) -> None:
    """Intent: without a name every PostgreSQL is looked at, and one that does not answer says so in its place."""
    from superset.extensions import db
    from superset.models.core import Database

    with superset_app.app.app_context():
        away = Database(database_name=f"{NAME} away")
        away.set_sqlalchemy_uri("postgresql://nobody:secret@127.0.0.1:1/none")
        db.session.add(away)
        db.session.commit()
    results = {result["database"]: result for result in advice(superset_app)}
    assert results[NAME]["proposals"]
    assert "cannot be connected to" in results[f"{NAME} away"]["error"]
    assert "secret" not in json.dumps(results)


def _sent_from_sql_lab(sql: str) -> None:
    """As Superset's history has a statement that somebody sent."""
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.sql_lab import Query

    database = db.session.query(Database).filter_by(database_name=NAME).one()
    client_id = uuid.uuid4().hex[:11]
    db.session.add(Query(client_id=client_id, database=database, sql=sql, executed_sql=sql, status="success"))
    db.session.commit()


@pytest.fixture
def sent(superset_app: InProcess, source: str) -> Iterator[str]:
    """What the log has of the chart is in SQL Lab's history too, with its values; what was built is gone at the end."""
    with superset_app.app.app_context():
        _sent_from_sql_lab(BY_CUSTOMER)
    yield BY_CUSTOMER
    dropped = superset_app.perf("indexes", "drop", "--database", NAME, "--yes")
    assert dropped.exit_code == 0, dropped.output
    superset_app.rows("DELETE FROM superset_ext.advice_log")
    with superset_app.app.app_context():
        from superset.extensions import db
        from superset.models.sql_lab import Query

        db.session.query(Query).filter_by(executed_sql=BY_CUSTOMER).delete()
        db.session.commit()


def done(app: InProcess, *words: str) -> Any:
    """What a command that changes a source says in JSON."""
    result = app.perf("indexes", *words, "--database", NAME, "--json", "--yes")
    assert result.exit_code == 0, (result.output, result.stderr, result.exception)
    return json.loads(result.stdout)


def built(url: str) -> dict[str, bool]:
    """The indexes of the sales but those that were there, and whether they are valid."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.relname, x.indisvalid FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid "
            "WHERE x.indrelid = 'sales'::regclass AND i.relname NOT LIKE 'sales%'"
        )
        return {str(name): bool(valid) for name, valid in cursor.fetchall()}


def states(app: InProcess) -> list[tuple[Any, ...]]:
    return app.rows("SELECT index_name, state FROM superset_ext.advice_log ORDER BY id")


def test_a_trial_keeps_what_helps_and_remembers_it(superset_app: InProcess, source: str, sent: str) -> None:
    """Intent: from the log's fingerprint, by the statement that SQL Lab remembers, to an index that is measured, stands
    and is followed; the log of advice holds no value of the statement."""
    (verdict,) = done(superset_app, "try", "--rounds", "2")
    assert verdict["kept"], verdict
    (statement,) = verdict["statements"]
    assert statement["seconds_after"] < statement["seconds_before"] and not statement["slower"]
    assert built(source) == {verdict["index"]: True}
    assert states(superset_app) == [(verdict["index"], "applied")]
    (result,) = advice(superset_app, "--database", NAME)
    assert [(item["index"], item["state"]) for item in result["standing"]] == [(verdict["index"], "applied")]
    assert result["proposals"] == [], "what stands is not advised again"
    (row,) = superset_app.rows("SELECT t::text FROM superset_ext.advice_log AS t")
    assert "4711" not in row[0] and "2024-03-01" not in row[0]


def test_nothing_is_built_before_somebody_agrees(superset_app: InProcess, source: str, sent: str) -> None:
    """Intent: the statements are printed first; without an answer, with a no, and in JSON nothing is done."""
    before = objects(source)
    for words, code in ((["try"], 1), (["apply"], 1), (["try", "--json"], 2)):
        result = superset_app.perf("indexes", *words, "--database", NAME)
        assert result.exit_code == code, result.output
        assert "CREATE INDEX CONCURRENTLY" in result.output
    assert objects(source) == before
    assert states(superset_app) == []


def test_what_is_applied_is_followed_by_the_log(superset_app: InProcess, source: str, sent: str) -> None:
    """Intent: a day later the log's medians say what an index brought, and which statement is slower; the statement
    that drops it stands beside."""
    (verdict,) = done(superset_app, "apply")
    assert verdict["kept"] and states(superset_app) == [(verdict["index"], "applied")]
    superset_app.rows("UPDATE superset_ext.advice_log SET applied_at = now() - interval '25 hours'")
    (database_id,) = superset_app.rows("SELECT database_id FROM superset_ext.advice_log")[0]
    for hours, ms in ((26, 2000.0), (24, 50.0)):
        superset_app.rows(
            "SELECT superset_ext.create_day_partition('query_performance_log', "
            "((now() - make_interval(hours => %s)) AT TIME ZONE 'UTC')::date)",
            (hours,),
        )
        superset_app.rows(
            "INSERT INTO superset_ext.query_performance_log (created_at, host, pid, source, database_id, fingerprint, "
            "duration_ms) SELECT now() - make_interval(hours => %s), 'h', 1, 'chart', %s, fingerprints[1], %s "
            "FROM superset_ext.advice_log",
            (hours, database_id, ms),
        )
    (result,) = advice(superset_app, "--database", NAME)
    (standing,) = result["standing"]
    assert (standing["state"], standing["slower"]) == ("brought", [])
    assert standing["reason"].startswith("1 statement took 0.1 s since, and 2.0 s before")
    text = superset_app.perf("indexes", "--database", NAME).output
    assert f"brought {standing['applied_at'][:10]}: {verdict['index']}" in text and standing["drop"] in text
    superset_app.rows("DELETE FROM superset_ext.query_performance_log WHERE host = 'h'")


def test_what_a_killed_run_left_is_dropped_by_the_next(superset_app: InProcess, source: str, sent: str) -> None:
    """Intent: a broken build of ours goes at the next run, by the name that was written down before it; a person's
    broken build stays."""
    done(superset_app, "apply")
    (name,) = built(source)
    with closing(psycopg2.connect(source)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f'DROP INDEX "{name}"; UPDATE sales SET customer = 0 WHERE id = 1')
        for index in (name, "by_hand"):
            with pytest.raises(psycopg2.errors.DivisionByZero):
                cursor.execute(f'CREATE INDEX CONCURRENTLY "{index}" ON sales ((1 / customer))')
    superset_app.rows("UPDATE superset_ext.advice_log SET state = 'building'")
    (verdict,) = done(superset_app, "apply")
    assert built(source) == {"by_hand": False, verdict["index"]: True}
    assert states(superset_app) == [(name, "dropped"), (verdict["index"], "applied")]
    with closing(psycopg2.connect(source)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("DROP INDEX by_hand")


def test_drop_takes_ours_and_nothing_else(superset_app: InProcess, source: str, sent: str) -> None:
    """Intent: an index that was not built here is refused by its name, and all others of the source stay."""
    before = objects(source)
    (verdict,) = done(superset_app, "apply")
    refused = superset_app.perf("indexes", "drop", "sales_shop", "--database", NAME, "--yes")
    assert (refused.exit_code, "not built here, and left alone: sales_shop" in refused.output) == (1, True)
    (item,) = done(superset_app, "drop", verdict["index"])
    assert (item["index"], item["dropped"]) == (verdict["index"], True)
    assert {row[1] for row in objects(source)} == {row[1] for row in before}
    assert states(superset_app) == [(verdict["index"], "dropped")]


def test_a_saved_chart_gives_the_statement_of_its_fingerprint(superset_app: InProcess, databases: Databases) -> None:
    """Intent: what a chart asked over HTTP is in the log without values, and is run with those of the saved chart."""
    with databases.empty() as url, source_in(superset_app, url) as made, superset_app.awake():
        client = superset_app.client()
        for _ in range(2):
            answer = client.get(f"/api/v1/chart/{made.chart}/data/?force=true")
            assert answer.status_code == 200, answer.json
        superset_app.package.recorder.flush()  # type: ignore[union-attr]
        with superset_app.app.app_context():
            asked = workload(superset_app.package.log(), made.number)
            lives, notes = live_statements(made.number, asked)
        assert [("rare" in live.sql, live.calls, live.schema) for live in lives] == [(True, 2, "public")], notes
        assert notes == []
