"""`POST /analyze-query` and `POST /optimize-query` in a real Superset, as users of all kinds."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from testing.databases import Databases
from testing.in_process import InProcess
from testing.plans_source import Source, source_in

BASE = "/api/v1/performance"
PASSWORD = "a password of some length"
ORDERS = "SELECT count(*) FROM orders WHERE status = 'rare' AND amount > 10"
LAB = "can_execute_sql_query"
ROUTES = ("analyze-query", "optimize-query")


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[Source]:
    with databases.empty() as url, source_in(in_process, url) as made:
        yield made


@pytest.fixture(scope="module")
def people(in_process: InProcess, source: Source) -> Iterator[dict[str, str]]:
    """Users of all kinds, by what they may do; those whose name begins with `write` have `can_write` on Performance."""
    tail = uuid.uuid4().hex[:6]
    with in_process.awake(), in_process.app.app_context():
        names = _add_people(tail, source)
    yield names
    with in_process.awake(), in_process.app.app_context():
        _remove_people(tail)


def _add_people(tail: str, source: Source) -> dict[str, str]:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db, security_manager

    def role(name: str, *permissions: tuple[str, str]) -> Any:
        made = security_manager.add_role(f"{name} {tail}")
        for permission in permissions:
            security_manager.add_permission_role(made, security_manager.add_permission_view_menu(*permission))
        return made

    dataset = db.session.get(SqlaTable, source.orders)
    dataset.catalog = dataset.database.get_default_catalog()  # as a dataset has it that somebody makes in Superset
    gamma, alpha = security_manager.find_role("Gamma"), security_manager.find_role("Alpha")
    write = role("write", ("can_write", "Performance"))
    lab = role("lab", (LAB, "SQLLab"))
    orders = role("orders", ("datasource_access", dataset.perm))
    database = role("database", ("database_access", dataset.database.perm))
    kinds = {
        "none": [], "gamma": [gamma], "alpha": [alpha], "lab": [gamma, lab, database], "write": [gamma, write],
        "write_lab": [gamma, write, lab], "write_database": [gamma, write, database],
        "write_orders": [gamma, write, lab, orders], "write_all": [gamma, write, lab, database],
    }  # fmt: skip
    for name, roles in kinds.items():
        user = f"{name}_{tail}"
        security_manager.add_user(user, name, name, f"{user}@example.org", roles or [role("nothing")], PASSWORD)
    db.session.commit()
    return {name: f"{name}_{tail}" for name in kinds}


def _remove_people(tail: str) -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.extensions import db, security_manager

    for user in security_manager.get_all_users():
        if user.username.endswith(tail):
            db.session.delete(user)
    for role in security_manager.get_all_roles():
        if role.name.endswith(tail):
            db.session.delete(role)
    db.session.commit()


def ask(client: Any, route: str, query: str, source: Source, **more: Any) -> Any:
    return client.post(f"{BASE}/{route}", json={"query": query, "database": source.name, **more})


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_gets_further_than_in_sql_lab(
    superset_app: InProcess, source: Source, people: dict[str, str], route: str
) -> None:
    """Intent: it takes the permission of the API, that of SQL Lab, and access to each table, like SQL Lab itself."""
    statuses = {name: ask(superset_app.client(user, PASSWORD), route, ORDERS, source).status_code
                for name, user in people.items()}  # fmt: skip
    allowed = {"write_orders": 200, "write_all": 200}
    assert statuses == {name: allowed.get(name, 403) for name in people}
    assert ask(superset_app.app.test_client(), route, ORDERS, source).status_code == 401
    assert ask(superset_app.client(), route, ORDERS, source).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_one_table_opens_no_other(superset_app: InProcess, source: Source, people: dict[str, str], route: str) -> None:
    """Intent: with access to one dataset, no other table can be named, wherever in the statement it stands; and a
    database that is closed looks like one that there is not."""
    client = superset_app.client(people["write_orders"], PASSWORD)
    for sql in (
        "SELECT * FROM few", "SELECT 1 FROM orders WHERE id IN (SELECT id FROM few)", "SELECT * FROM pg_stats",
        "WITH a AS (SELECT * FROM few) SELECT * FROM a", "SELECT (SELECT max(id) FROM few) FROM orders",
    ):  # fmt: skip
        answer = ask(client, route, sql, source)
        assert answer.status_code == 403, (sql, answer.text)
    elsewhere = client.post(f"{BASE}/{route}", json={"query": ORDERS, "database": "no such one"})
    lab = superset_app.client(people["write_lab"], PASSWORD)
    assert (elsewhere.status_code, elsewhere.json) == (403, ask(lab, route, ORDERS, source).json)


REFUSED = (
    "DELETE FROM orders", "UPDATE orders SET id = 1", "INSERT INTO orders (id) VALUES (0)", "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE orders", "COPY orders TO PROGRAM 'true'", "SELECT pg_sleep(600)",
    "SELECT * FROM pg_sleep(600)",
    "SELECT * FROM dblink('host=x', 'SELECT 1') AS t(a int)", "SELECT nextval('counter')", "SELECT * FROM noise",
    "WITH gone AS (DELETE FROM few RETURNING id) SELECT * FROM gone", "SELECT * INTO copied FROM few",
    "SELECT * FROM few FOR UPDATE", "SELECT pg_read_file('/etc/passwd')", "CREATE TABLE x (a int)", "VACUUM", "",
    "SELECT {{ 1 }}", "SELECT '{% if true %}a{% endif %}'", "EXPLAIN ANALYZE DELETE FROM few", "SET ROLE postgres",
)  # fmt: skip
STATE = "SELECT last_value, is_called, (SELECT count(*) FROM orders), (SELECT count(*) FROM pg_class) FROM counter"


@pytest.mark.parametrize("route", ROUTES)
def test_what_only_reads_and_nothing_else(superset_app: InProcess, source: Source, route: str) -> None:
    """Intent: an administrator too is refused, in one line, what writes, waits, leads elsewhere or is several; and so
    when it is to be run."""
    admin, before = superset_app.client(), state(source)
    option = {"analyze-query": "analyze", "optimize-query": "run"}[route]
    for sql in REFUSED:
        for runs in (False, True):
            answer = ask(admin, route, sql, source, **{option: runs})
            assert answer.status_code in (400, 403) and "\n" not in answer.json["message"], (sql, answer.text)
    assert state(source) == before


def state(source: Source) -> Any:
    with closing(psycopg2.connect(source.url)) as connection, connection.cursor() as cursor:
        cursor.execute(STATE)
        return cursor.fetchall()


def test_only_administrators_have_it_run(superset_app: InProcess, source: Source, people: dict[str, str]) -> None:
    """Intent: what takes time on the source, and tells true counts, is for administrators who ask for it."""
    client = superset_app.client(people["write_all"], PASSWORD)
    for route, option in (("analyze-query", "analyze"), ("optimize-query", "run")):
        assert ask(client, route, ORDERS, source, **{option: True}).status_code == 403
    assert ask(client, "analyze-query", ORDERS, source).json["plan"]["execution_ms"] is None
    assert ask(superset_app.client(), "analyze-query", ORDERS, source, analyze=True).json["plan"]["execution_ms"] > 0


def test_what_is_slow_in_a_query(superset_app: InProcess, source: Source) -> None:
    """Intent: the answer has the plan, its drawing and findings with advice, and no value of the query."""
    answer = ask(superset_app.client(), "analyze-query", ORDERS, source)
    assert "filter_discards" in {finding["kind"] for finding in answer.json["findings"]}
    assert "Seq Scan on orders" in answer.json["drawing"] and "rare" not in json.dumps(answer.json)


_PLANS = """
INSERT INTO superset_ext.query_plan (
    fingerprint, database_id, duration_ms, version, cost, rows, shape, plan, findings, considered
) SELECT 'of cost ' || cost, %s, cost * %s, 180000, cost, 1, 's', '{}', '[]', '[]' FROM unnest(%s::float8[]) AS cost
"""


def test_how_long_a_query_would_take(superset_app: InProcess, source: Source) -> None:
    """Intent: before a query is run, its seconds are said from its cost and from what plans of like cost took on the
    same source, with how far these are apart; where too few are kept, or the log is away, that is said instead."""
    admin = superset_app.client()

    def seconds_of(sql: str) -> Any:
        return ask(admin, "analyze-query", sql, source).json["estimate"]

    few = seconds_of(ORDERS)
    assert (few["seconds"], few["plans"]) == (None, 0) and "9 are needed" in few["reason"]
    try:
        superset_app.rows(_PLANS, (source.number + 10**6, 9e9, [float(n) for n in range(1, 30)]))  # another source's
        superset_app.rows(_PLANS, (source.number, 0.5, [1000.0 * n for n in range(1, 12)]))
        superset_app.rows(_PLANS, (source.number, 4.0, [2e4, 3e4]))
        took = seconds_of(ORDERS)
        text = superset_app.perf("explain", ORDERS, "--database", source.name).output
    finally:
        superset_app.rows("DELETE FROM superset_ext.query_plan WHERE fingerprint LIKE 'of cost %%'")
    assert took["plans"] == 13 and took["reason"] is None
    assert took["seconds"] == pytest.approx(took["seconds_least"])
    assert took["seconds_most"] == pytest.approx(took["seconds"] * 8), "two of thirteen took eight times as long"
    assert "Would take about" in text and "by 13 plans" in text


def test_how_it_could_be_written(superset_app: InProcess, source: Source) -> None:
    """Intent: the level says which rules are asked; both texts come back with their costs, and equal rows when run."""
    sql = "SELECT count(*) FROM orders WHERE CAST(customer AS text) = '17'"
    admin = superset_app.client()
    answer = ask(admin, "optimize-query", sql, source, optimization_level="automatic", run=True).json
    assert [rule["rule"] for rule in answer["applied"]] == ["integer_as_text"] and answer["equal"] is True
    assert answer["rewritten"]["cost"] < answer["original"]["cost"]
    levels = ("automatic", "advice", "all")
    answers = {level: ask(admin, "optimize-query", sql, source, optimization_level=level).json for level in levels}
    named = {level: {rule["rule"] for rule in answer["not_applied"]} for level, answer in answers.items()}
    assert named["automatic"] < named["advice"] < named["all"]
    assert ask(admin, "optimize-query", sql, source, optimization_level="most").status_code == 400


def test_what_the_settings_close_is_closed_here(
    superset_app: InProcess, source: Source, people: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: functions and tables that SQL Lab refuses, a database that is not shown there, and row-level rules that
    it would add, hold here too."""
    client = superset_app.client(people["write_all"], PASSWORD)
    config = superset_app.app.config
    with monkeypatch.context() as patch:
        patch.setitem(config, "DISALLOWED_SQL_FUNCTIONS", {"postgresql": {"COUNT"}})
        assert ask(client, "analyze-query", ORDERS, source).status_code == 403
    with monkeypatch.context() as patch:
        patch.setitem(config, "DISALLOWED_SQL_TABLES", {"postgresql": {"orders"}})
        assert ask(client, "analyze-query", ORDERS, source).status_code == 403
    with monkeypatch.context() as patch:
        patch.setattr("superset.is_feature_enabled", lambda name: name == "RLS_IN_SQLLAB")
        assert ask(client, "analyze-query", ORDERS, source).status_code == 403
        assert ask(superset_app.client(), "analyze-query", ORDERS, source).status_code == 200
    assert ask(client, "analyze-query", ORDERS, source).status_code == 200
