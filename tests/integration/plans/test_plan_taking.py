# ruff: noqa: E501  (SQL that is easier to read in one line)
"""Plans of slow queries: from charts in a real Superset to rows of the log, and over REST."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest

from superset_ext.events import Queried, Scope, queried
from superset_ext.monitor.rollup.logs import roll_up
from superset_ext.plans import taking
from superset_ext.plans.taking import PlanTaker
from testing.databases import Databases
from testing.in_process import ADMIN, InProcess
from testing.plans_source import Source, source_in

SECRETS = ("hush", "4711", "deadbeef")
RARE = "SELECT count(*) FROM orders WHERE status = 'rare'"


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[Source]:
    with databases.empty() as url, source_in(in_process, url) as made:
        yield made


@pytest.fixture
def taker(superset_app: InProcess) -> Iterator[PlanTaker]:
    made = another(superset_app)
    made.start()
    yield made
    made.stop()


def another(app: InProcess, **settings: Any) -> PlanTaker:
    """The taker of another process, for which every query is slow."""
    chosen = app.package.settings.model_copy(update={"slow_query_ms": 1e-9, "plans_active": 100, **settings})
    return PlanTaker(app.app, app.package.log(), lambda: None, chosen)


def tell(source: Source, sql: str, ms: float = 100.0, user_id: int | None = None, **more: Any) -> None:
    scope = Scope(channel="web", user_id=user_id)
    event = Queried(
        "chart", source.number, "postgresql", sql, ms, time.monotonic(), scope, 1, sent=(sql,), schema="public", **more
    )
    queried.send("chart", event=event)


def ask(app: InProcess, source: Source, dataset: int | None = None, chart: int | None = None, **query: Any) -> None:
    """A chart's request, answered by the source."""
    body = {
        "datasource": {"id": dataset or source.orders, "type": "table"}, "form_data": {"slice_id": chart}, "force": True, "result_format": "json", "result_type": "full",
        "queries": [{"columns": [], "metrics": [], "filters": [], "row_limit": 10, **query}],
    }  # fmt: skip
    answer = app.client().post("/api/v1/chart/data", json=body)
    assert answer.status_code == 200, answer.json


def plans(app: InProcess, source: Source) -> list[dict[str, Any]]:
    names = "fingerprint", "duration_ms", "shape", "plan", "findings"
    rows = app.rows(
        f"SELECT {', '.join(names)} FROM superset_ext.query_plan WHERE database_id = %s ORDER BY taken_at",
        (source.number,),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


@pytest.fixture(autouse=True)
def no_plans(superset_app: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "PATIENCE_SECONDS", 60.0)  # of a slow machine, as the next
    monkeypatch.setattr(taking, "SECONDS", 30.0)
    superset_app.rows("DELETE FROM superset_ext.query_plan")


@contextmanager
def running(url: str, sql: str) -> Iterator[None]:
    """Within this, a session runs a statement that does not end by itself."""
    with closing(psycopg2.connect(url)) as connection, closing(psycopg2.connect(url)) as watcher:
        pid = connection.info.backend_pid
        thread = threading.Thread(target=_until_cancelled, args=(connection, sql))
        thread.start()
        cursor, row = watcher.cursor(), None
        while row != ("active",):
            cursor.execute("SELECT state FROM pg_stat_activity WHERE pid = %s AND query = %s", (pid, sql))
            row = cursor.fetchone()
            watcher.rollback()
        yield
        connection.cancel()
        thread.join()


def _until_cancelled(connection: Any, sql: str) -> None:
    with pytest.raises(psycopg2.errors.QueryCanceled):
        connection.cursor().execute(sql)


def test_a_slow_chart_leaves_its_plan(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: from a chart's request to a row with the plan, what it shows, and the fingerprint of the query log."""
    ask(superset_app, source, metrics=["count"], filters=[{"col": "status", "op": "==", "val": "rare"}])
    assert not plans(superset_app, source), "nothing is asked on the request's path"
    taker.flush()
    (plan,) = plans(superset_app, source)
    assert "filter_discards" in {finding["kind"] for finding in plan["findings"]}
    superset_app.package.recorder.flush()  # type: ignore[union-attr]
    assert superset_app.rows(
        "SELECT sql FROM superset_ext.query_fingerprint WHERE fingerprint = %s", (plan["fingerprint"],)
    )


def test_what_other_charts_ask_is_told(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: of a statement that charts ask with other filters, the finding counts them by the log; another
    dataset's charts and other columns are not among them."""
    for chart, dataset, metric, filters in (
        (11, source.orders, "count", {"status": "rare"}), (12, source.orders, "count", {"status": "rare", "city": "hush"}),
        (13, source.orders, "count", {"region": "hush"}), (14, source.orders, "count", {"status": "common"}),
        (15, source.few, "count", {"status": "rare"}), (16, source.orders, None, {"status": "rare"}),
    ):  # fmt: skip
        ask(
            superset_app, source, dataset, chart, metrics=[metric] if metric else [], columns=[] if metric else ["city"],
            filters=[{"col": column, "op": "==", "val": value} for column, value in filters.items()],
        )  # fmt: skip
        superset_app.package.recorder.flush()  # type: ignore[union-attr]
        roll_up(superset_app.package.log(), superset_app.package.settings.slow_query_ms)
    superset_app.rows("DELETE FROM superset_ext.query_plan")
    later = another(superset_app)
    later.start()
    ask(
        superset_app,
        source,
        source.orders,
        11,
        metrics=["count"],
        filters=[{"col": "status", "op": "==", "val": "rare"}],
    )
    later.flush()
    later.stop()
    (plan,) = plans(superset_app, source)
    (finding,) = [finding for finding in plan["findings"] if finding["kind"] == "other_filters"]
    assert finding["evidence"].startswith("4 charts ask this in 3 forms"), finding
    assert finding["numbers"]["seconds"] > 0 and "hush" not in str(plan)


def test_once_a_day_and_when_the_time_doubles(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: a source is asked once a statement and day over all processes, and again when its time has doubled."""
    other = another(superset_app)
    other.start()
    for ms, expected in ((100.0, 1), (110.0, 1), (199.0, 1), (200.0, 2), (390.0, 2)):
        tell(source, RARE, ms)
        taker.flush()
        other.flush()
        assert len(plans(superset_app, source)) == expected, ms
    other.stop()
    superset_app.rows("UPDATE superset_ext.query_plan SET taken_at = taken_at - interval '1 day'")
    third = another(superset_app)
    third.start()
    tell(source, RARE, 100.0)
    third.stop()
    third.flush()
    assert len(plans(superset_app, source)) == 3


def test_a_plan_that_changed_and_became_slower(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: an index that is gone is named by the change of the plan, where the time changed too."""
    sql = "SELECT note FROM orders WHERE placed = '2024-02-02 00:00:00'"
    tell(source, sql, 10.0)
    taker.flush()
    with closing(psycopg2.connect(source.url)) as admin:
        admin.cursor().execute("DROP INDEX orders_placed")
        admin.commit()
        tell(source, sql, 500.0)
        taker.flush()
        admin.cursor().execute("CREATE INDEX orders_placed ON orders (placed)")
        admin.commit()
    before, after = plans(superset_app, source)
    assert before["shape"] != after["shape"]
    assert "plan_changed" in {finding["kind"] for finding in after["findings"]}


def test_rules_that_apply_are_kept_without_the_texts(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: beside its plan stands how a slow statement could be written, with both costs and without its values; of
    one that no rule changes, nothing does."""
    tell(source, "SELECT count(*) FROM orders WHERE CAST(customer AS text) = '4711'")
    tell(source, RARE)
    taker.flush()
    assert len(plans(superset_app, source)) == 2
    listed = superset_app.client().get("/api/v1/performance/recommendations").json["rewrites"]
    (row,) = [row for row in listed if row["database_id"] == source.number]
    assert (row["rule"], row["automatic"]) == ("integer_as_text", True)
    assert row["changed"] == ["customer is compared as an integer"] and row["cost_after"] < row["cost"]
    kept = superset_app.rows(
        "SELECT rewrites::text FROM superset_ext.query_plan WHERE database_id = %s", (source.number,)
    )
    assert sorted(text for (text,) in kept)[-1] == "{}" and "4711" not in str(kept)
    assert "customer is compared as an integer [integer_as_text]" in superset_app.perf("recommend").output


def test_a_busy_source_is_left_alone(superset_app: InProcess, source: Source) -> None:
    """Intent: where more queries are under way than the setting allows, no plan is taken, and a later query asks again."""
    taker = another(superset_app, plans_active=0)
    taker.start()
    with running(source.url, "SELECT pg_sleep(3600)"):
        tell(source, RARE)
        taker.flush()
        assert not plans(superset_app, source)
    tell(source, RARE)
    taker.stop()
    deadline = time.monotonic() + 60  # the cancelled session may end a little later
    while not plans(superset_app, source) and time.monotonic() < deadline:
        taker.flush()
        taker.start()
        tell(source, RARE)
        taker.stop()
    assert plans(superset_app, source)


def test_a_source_that_is_silent_is_left_alone(
    superset_app: InProcess, source: Source, taker: PlanTaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: the counts wait for it once, and no more calls hang there than one."""
    monkeypatch.setattr(taking, "PATIENCE_SECONDS", 0.5)
    uri = "UPDATE dbs SET sqlalchemy_uri = %s WHERE id = %s"
    ((usual,),) = superset_app.rows("SELECT sqlalchemy_uri FROM dbs WHERE id = %s", (source.number,))
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        superset_app.rows(uri, (f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none", source.number))
        try:
            for columns in ("id", "id, status", "status"):
                tell(source, f"SELECT {columns} FROM orders")
                taker.flush()
        finally:
            superset_app.rows(uri, (usual, source.number))
        silent.settimeout(60.0)  # the call that nobody waits for may still be on its way
        connections = [silent.accept()[0]]
        silent.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            silent.accept()
        connections[0].close()
    tell(source, RARE)
    taker.flush()
    assert not plans(superset_app, source), "it is not asked for a while"
    monkeypatch.setattr(taking, "PATIENCE_SECONDS", 60.0)
    taker.reset()
    tell(source, RARE)
    taker.flush()
    assert len(plans(superset_app, source)) == 1


def test_what_finds_no_time_waits_for_the_next_flush(
    superset_app: InProcess, source: Source, taker: PlanTaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: many slow queries hold the counts up for a few seconds at most, and none of them is forgotten."""
    monkeypatch.setattr(taking, "PATIENCE_SECONDS", 0.0)
    tell(source, RARE)
    taker.flush()
    assert not plans(superset_app, source)
    monkeypatch.setattr(taking, "PATIENCE_SECONDS", 60.0)
    taker.flush()
    assert len(plans(superset_app, source)) == 1


def test_only_what_can_be_explained_is_kept(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: a statement that fails, several, another engine's, and one that writes get no plan, and run nothing."""
    for sql in (
        "DELETE FROM few",
        "SELECT * INTO copied FROM few",
        "SELECT 1; DROP TABLE few",
        "SELECT * FROM nowhere",
    ):
        tell(source, sql)
    tell(source, RARE, error="QueryCanceled")
    two = Queried("chart", source.number, "postgresql", RARE, 9e9, time.monotonic(), Scope(), 1, sent=(RARE, RARE))
    mine = Queried("chart", source.number, "mysql", RARE, 9e9, time.monotonic(), Scope(), 1, sent=(RARE,))
    for event in (two, mine):
        queried.send("chart", event=event)
    taker.flush()
    assert not plans(superset_app, source)
    with closing(psycopg2.connect(source.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*), to_regclass('copied') FROM few")
        assert cursor.fetchone() == (500, None)


def test_a_quick_query_leaves_none(superset_app: InProcess, source: Source) -> None:
    """Intent: only what the settings call slow is explained."""
    taker = another(superset_app, slow_query_ms=1000.0)
    taker.start()
    tell(source, RARE, 999.0)
    taker.stop()
    taker.flush()
    assert not plans(superset_app, source)


def test_the_plan_is_that_of_the_impersonated_user(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: where a database is asked as each user, so is the plan: who may not read gets none, nor does a guest."""
    ((admin,),) = superset_app.rows("SELECT id FROM ab_user WHERE username = %s", (ADMIN,))
    with closing(psycopg2.connect(source.url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"CREATE ROLE {ADMIN} LOGIN PASSWORD '{password(source.url)}'")
        superset_app.rows("UPDATE dbs SET impersonate_user = true WHERE id = %s", (source.number,))
        try:
            tell(source, RARE, user_id=None)
            taker.flush()
            assert not plans(superset_app, source), "a guest's"
            tell(source, RARE, ms=1e3, user_id=admin)
            taker.flush()
            assert not plans(superset_app, source), "of a role that may not read"
            cursor.execute(f"GRANT SELECT ON orders TO {ADMIN}")
            tell(source, RARE, ms=1e4, user_id=admin)
            taker.flush()
            assert len(plans(superset_app, source)) == 1
        finally:
            superset_app.rows("UPDATE dbs SET impersonate_user = false WHERE id = %s", (source.number,))
            cursor.execute(f"DROP OWNED BY {ADMIN}; DROP ROLE {ADMIN}")


def password(url: str) -> str:
    return str(psycopg2.extensions.parse_dsn(url)["password"])


def metric(sql: str, label: str) -> dict[str, str]:
    return {"expressionType": "SQL", "sqlExpression": sql, "label": label}


HOSTILE: tuple[dict[str, Any], ...] = (
    {"filters": [{"col": "note", "op": "IN", "val": ["hush", "it's hush"]}]},
    {"filters": [{"col": "note", "op": "ILIKE", "val": "%hush%"}, {"col": "amount", "op": ">", "val": 4711}]},
    {"filters": [{"col": "note", "op": "NOT IN", "val": ["hush\\", "hu''sh", "$$hush$$", "--hush", "/*hush"]}]},
    {"extras": {"where": "note = $q$hush$q$ OR note::bytea = '\\xdeadbeef'"}},
    {"extras": {"where": "note = E'hush' OR amount = -4711.5e1 OR note ~ 'hush' -- hush\n"}},
    {"metrics": [metric("SUM(CASE WHEN note = 'hush' THEN 4711 END)", "hush 4711")], "extras": {"having": "COUNT(*) < 4711"}},
    {"columns": [{"label": "hush", "sqlExpression": "note || 'hush'", "expressionType": "SQL"}]},
    {"columns": ["region"], "metrics": [metric("MAX(amount)", "it's \"hush\"")], "series_limit": 3, "orderby": [["it's \"hush\"", False]]},
    {"filters": [{"col": "placed", "op": "TEMPORAL_RANGE", "val": "4711-01-01 : 4712-01-01"}]},
)  # fmt: skip
# What people ask is kept there to be asked again, with its values unless `warm_keep_values` is off.
WITH_VALUES = ("cache_request", "cache_access_scope")


NUMBERS_OF_RUNS = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # drawn at random, so that any digits may be in them


def test_no_value_of_a_chart_is_in_any_table_of_ours(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: values in filters, metrics, labels, ranges and SQL of charts reach neither plans, findings nor logs."""
    for query in HOSTILE:
        ask(superset_app, source, **({"metrics": ["count"]} | query))
        taker.flush()
    assert len(plans(superset_app, source)) >= len(HOSTILE) - 1
    superset_app.package.recorder.flush()  # type: ignore[union-attr]
    tables = superset_app.rows(
        "SELECT c.relname FROM pg_class c WHERE relnamespace = 'superset_ext'::regnamespace AND relkind IN ('r', 'p', 'm')"
    )
    assert ("query_plan",) in tables and len(tables) > 20
    for (table,) in tables:
        for secret in SECRETS if table not in WITH_VALUES else ():
            text = rf"\m{secret}\M" if secret.isdigit() else secret  # ids and times have any four digits within them
            rows = superset_app.rows(
                f"""SELECT t::text FROM superset_ext."{table}" AS t WHERE regexp_replace(t::text, %s, '', 'g') ~ %s""",
                (NUMBERS_OF_RUNS, text),
            )
            assert not rows, (table, secret, rows[:1])


def test_over_rest_and_for_whom(superset_app: InProcess, source: Source, taker: PlanTaker) -> None:
    """Intent: who may read the API and the database gets the plans; who lacks either gets none."""
    tell(source, RARE)
    taker.flush()
    fingerprint = plans(superset_app, source)[0]["fingerprint"]
    path = f"/api/v1/performance/plans/{fingerprint}"
    answer = superset_app.client().get(path)
    assert answer.status_code == 200 and "Seq Scan on orders" in answer.json["result"][0]["drawing"]
    assert "rare" not in json.dumps(answer.json)
    html = superset_app.client().get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert html.mimetype == "text/html" and "Seq Scan on orders" in html.text and "rare" not in html.text
    assert "default-src 'none'" in html.headers["Content-Security-Policy"]
    assert superset_app.client().get(path + "0").status_code == 404
    assert superset_app.app.test_client().get(path).status_code == 401
    reads, asks = ("can_read", "Performance"), ("database_access", f"[{source.name}].(id:{source.number})")
    for rights, expected in (((), 403), ((reads,), 403), ((asks,), 403), ((reads, asks), 200)):
        with somebody(superset_app, rights) as client:
            assert client.get(path).status_code == expected, rights
    shown = superset_app.perf("explain", "--fingerprint", fingerprint)
    assert shown.exit_code == 0 and "Seq Scan on orders" in shown.output, shown.output
    unknown = superset_app.perf("explain", "--fingerprint", "0")
    assert unknown.exit_code == 1 and "no plan of 0 is kept" in unknown.output


@contextmanager
def somebody(app: InProcess, rights: tuple[tuple[str, str], ...]) -> Iterator[Any]:
    """A client of a user with these rights alone."""
    name, secret = f"u{uuid.uuid4().hex[:8]}", "a password of some length"
    with app.app.app_context():
        from superset.extensions import security_manager

        role = security_manager.add_role(name)
        for permission, menu in rights:
            security_manager.add_permission_role(role, security_manager.add_permission_view_menu(permission, menu))
        security_manager.add_user(name, "S", "B", f"{name}@example.org", role, secret)
    yield app.client(name, secret)
    with app.app.app_context():
        from superset.extensions import db, security_manager

        db.session.delete(security_manager.find_user(name))
        db.session.commit()
