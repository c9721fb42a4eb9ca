"""After a change, whoever tells of it, the charts that show it have the new numbers at once, and only those miss."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.core.log_database import SQL
from testing.freshness import READING, World, world
from testing.serving import Client
from testing.warming import rows, until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def orders(superset_stack: Any) -> Iterator[World]:
    with world(superset_stack) as made:
        path = f"{made.admin.base}/api/v1/database/{made.database}"
        assert made.admin.http.put(path, json={"allow_dml": True}).status_code == 200
        yield made
        made.admin.http.put(path, json={"allow_dml": False, "allow_file_upload": False})


def warmed(orders: World) -> dict[str, Any]:
    """All six, cached; what they show."""
    for name in (*READING, "other", "noted"):
        orders.look(name)
    shown = {name: orders.look(name) for name in (*READING, "other", "noted")}
    assert all(cached for cached, _ in shown.values()), shown
    return {name: value for name, (_, value) in shown.items()}


def assert_fresh(orders: World, before: dict[str, Any], added: int) -> None:
    """The first five are misses with the new numbers, and the last is a hit with the old one."""
    for name in READING:
        cached, value = orders.look(name)
        assert not cached, name
        if name == "annotated":
            assert value != before[name]
        else:
            assert value == before[name] + added, name
    assert orders.look("other") == (True, before["other"])
    assert orders.look("noted") == (True, before["noted"])


def webhook(orders: World, **body: Any) -> Any:
    return orders.admin.post("/api/v1/performance/cache/invalidate", json=body)


def table(orders: World, **other: Any) -> dict[str, Any]:
    return {"database": "examples", "schema": "public", "table": orders.orders} | other


def test_nobody_tells(orders: World) -> None:
    """Intent: what the rest of this file shows is not there by itself."""
    before = warmed(orders)
    orders.add(1)
    assert {name: orders.look(name) for name in before} == {name: (True, value) for name, value in before.items()}
    assert webhook(orders, tables=[table(orders)]).status_code == 200


def test_the_webhook(orders: World) -> None:
    """Intent: an ETL says which table it has loaded."""
    before = warmed(orders)
    orders.add(10)
    answer = webhook(orders, tables=[table(orders)], operation="data_update")
    assert answer.status_code == 200, answer.text
    assert f"table:{orders.database}:public.{orders.orders}" in answer.json()["tags"]
    assert_fresh(orders, before, 10)


def test_the_webhook_without_a_schema(orders: World) -> None:
    """Intent: a name without a schema is one of the default schema."""
    before = warmed(orders)
    orders.add(11)
    assert webhook(orders, tables=[{"database": "examples", "table": orders.orders.upper()}]).status_code == 200
    assert_fresh(orders, before, 11)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {orders} VALUES (100)",
        "UPDATE {orders} SET amount = amount + 100 WHERE ctid = (SELECT min(ctid) FROM {orders})",
        "SELECT 1; INSERT INTO {orders} SELECT 60; INSERT INTO public.{orders} SELECT 40",
    ],
)
def test_sql_lab(orders: World, statement: str) -> None:
    """Intent: what people write in SQL Lab is heard after it is committed."""
    before = warmed(orders)
    body = {
        "database_id": orders.database, "sql": statement.format(orders=orders.orders), "schema": "public",
        "runAsync": False, "select_as_cta": False, "client_id": orders.mark[:5] + str(time.time_ns())[-6:],
    }  # fmt: skip
    answer = orders.admin.post("/api/v1/sqllab/execute/", json=body)
    assert answer.status_code == 200, answer.text
    assert_fresh(orders, before, 100)


def test_sql_lab_asynchronously(orders: World) -> None:
    """Intent: the same where a Celery worker runs it."""
    path = f"{orders.admin.base}/api/v1/database/{orders.database}"
    assert orders.admin.http.put(path, json={"allow_run_async": True}).status_code == 200
    before = warmed(orders)
    sql = f"UPDATE {orders.orders} SET amount = amount + 12 WHERE ctid = (SELECT min(ctid) FROM {orders.orders})"
    body = {
        "database_id": orders.database, "sql": sql, "schema": "public", "runAsync": True, "select_as_cta": False,
        "client_id": orders.mark[:5] + str(time.time_ns())[-6:],
    }  # fmt: skip
    answer = orders.admin.post("/api/v1/sqllab/execute/", json=body)
    assert answer.status_code == 202, answer.text
    query = f"/api/v1/query/{answer.json()['query']['queryId']}"
    until(lambda: orders.admin.get(query).json()["result"]["status"] == "success")
    until(lambda: not orders.look("table")[0] or orders.look("table")[1] != before["table"])
    for name in READING[1:]:
        assert not orders.look(name)[0], name
    assert orders.look("table")[1] == before["table"] + 12
    assert orders.look("other") == (True, before["other"])


def test_an_upload(orders: World) -> None:
    """Intent: rows of a file that somebody adds to a table."""
    path = f"{orders.admin.base}/api/v1/database/{orders.database}"
    extra = json.dumps({"schemas_allowed_for_file_upload": ["public"]})
    assert orders.admin.http.put(path, json={"allow_file_upload": True, "extra": extra}).status_code == 200
    before = warmed(orders)
    answer = orders.admin.http.post(
        f"{path}/upload/", files={"file": ("more.csv", b"amount\n13\n", "text/csv")},
        data={"type": "csv", "table_name": orders.orders, "schema": "public", "already_exists": "append"},
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    assert_fresh(orders, before, 13)


def test_a_select_in_sql_lab_drops_nothing(orders: World) -> None:
    """Intent: reading is no change."""
    before = warmed(orders)
    body = {"database_id": orders.database, "sql": f"SELECT * FROM {orders.orders}", "schema": "public"}
    assert orders.admin.post("/api/v1/sqllab/execute/", json=body | {"runAsync": False}).status_code == 200
    assert {name: orders.look(name)[0] for name in before} == dict.fromkeys(before, True)


def test_a_dataset_is_edited(orders: World) -> None:
    """Intent: an edit drops what was asked of that dataset, also where it is an annotation, and nothing else."""
    before = warmed(orders)
    path = f"/api/v1/dataset/{orders.datasets['table']}"
    put = orders.admin.http.put(f"{orders.admin.base}{path}", json={"description": f"at {time.time()}"})
    assert put.status_code == 200, put.text
    outcomes = {name: orders.look(name)[0] for name in before}
    assert outcomes == dict.fromkeys(before, True) | {"table": False, "annotated": False}


def test_an_annotation_is_edited(orders: World) -> None:
    """Intent: Superset's own annotations are data too."""
    before = warmed(orders)
    layer = orders.charts["layer"]
    (note,) = orders.admin.get(f"/api/v1/annotation_layer/{layer}/annotation/").json()["result"]
    path = f"/api/v1/annotation_layer/{layer}/annotation/{note['id']}"
    put = orders.admin.http.put(f"{orders.admin.base}{path}", json={"short_descr": f"at {time.time()}"})
    assert put.status_code == 200, put.text
    cached, value = orders.look("noted")
    assert not cached
    assert value != before["noted"]
    assert {name: orders.look(name)[0] for name in (*READING, "other")} == dict.fromkeys((*READING, "other"), True)


def test_a_metric_is_deleted(orders: World) -> None:
    """Intent: that does not touch the dataset's `changed_on`, so that stock keeps the old key."""
    path = f"/api/v1/dataset/{orders.datasets['other']}"
    metric = {"metric_name": "m", "expression": "MAX(amount)"}
    put = orders.admin.http.put(f"{orders.admin.base}{path}", json={"metrics": [metric]})
    assert put.status_code == 200, put.text
    (made,) = [m for m in orders.admin.get(path).json()["result"]["metrics"] if m["metric_name"] == "m"]
    before = warmed(orders)
    assert orders.admin.http.delete(f"{orders.admin.base}{path}/metric/{made['id']}").status_code == 200
    outcomes = {name: orders.look(name)[0] for name in before}
    assert outcomes == dict.fromkeys(before, True) | {"other": False, "annotated": False, "noted": False}


def test_stock_s_own_endpoint(orders: World) -> None:
    """Intent: scripts that were written for it do what they say now."""
    before = warmed(orders)
    body = {"datasource_uids": [f"{orders.datasets['view']}__table"]}
    assert orders.admin.post("/api/v1/cachekey/invalidate", json=body).status_code == 201
    assert {name: orders.look(name)[0] for name in before} == dict.fromkeys(before, True) | {"view": False}
    named = {"database_name": "examples", "datasource_name": orders.other, "datasource_type": "table"}
    assert orders.admin.post("/api/v1/cachekey/invalidate", json={"datasources": [named]}).status_code == 201
    assert orders.look("other")[0] is False


@pytest.mark.parametrize("what", ["datasets", "charts", "keys", "all", "databases"])
def test_other_names(orders: World, what: str) -> None:
    """Intent: a webhook may name datasets, charts, keys or everything."""
    before = warmed(orders)
    value: Any = {
        "datasets": [orders.datasets["join"]], "charts": [orders.charts["table"]], "keys": ["*"], "all": True,
        "databases": ["examples"],
    }[what]  # fmt: skip
    # Which keys are a chart's is known to the registry, which is written every few seconds.
    if what == "charts":
        known = "SELECT 1 FROM superset_ext.cache_request WHERE chart_id = %s"
        until(lambda: rows(orders.stack, known, (orders.charts["table"],)))
    answer = webhook(orders, **{what: value})
    assert answer.status_code == 200, answer.text
    gone = {"datasets": {"join"}, "charts": {"table", "annotated"}}.get(what, set(before))
    assert {name for name in before if not orders.look(name)[0]} == gone


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "nothing is named"),
        ({"tables": [{"database": "examples", "schema": "public", "table": "no_such_table"}]}, "has no table"),
        ({"tables": [{"database": "no such", "table": "t"}]}, "has no database"),
        ({"tables": [{"database": "examples"}]}, "table"),
        ({"tables": "orders"}, "tables"),
        ({"tables": [{"database": "examples", "table": "a\x00b"}]}, "table"),
        ({"datasets": [999_999]}, "does not exist"),
        ({"datasets": ["1"]}, "datasets"),
        ({"charts": [-1]}, "charts"),
        ({"all": "yes"}, "all"),
        ({"all": True, "operation": "guess"}, "operation"),
        ({"everything": True}, "is no field"),
        ([1, 2], "not a JSON object"),
    ],
)
def test_bad_input_is_told_and_changes_nothing(orders: World, body: Any, word: str) -> None:
    """Intent: 4xx with a clear message, and nothing is invalidated."""
    before = warmed(orders)
    answer = orders.admin.post("/api/v1/performance/cache/invalidate", json=body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    mixed = {"tables": [table(orders), {"database": "examples", "table": "no_such_table"}]}
    assert webhook(orders, **mixed).status_code == 400
    assert {name: orders.look(name)[0] for name in before} == dict.fromkeys(before, True)


def test_ten_megabytes_and_nobody(orders: World) -> None:
    """Intent: a body is bounded, and whoever has no right changes nothing."""
    path = "/api/v1/performance/cache/invalidate"
    before = warmed(orders)
    huge = orders.admin.post(path, json={"keys": ["x" * 10 * 1024**2]})
    assert huge.status_code == 413, huge.text
    stranger = orders.admin.http.__class__()
    assert stranger.post(f"{orders.admin.base}{path}", json={"all": True}, timeout=60).status_code == 401
    gamma = _user_without_rights(orders)
    assert gamma.post(path, json={"all": True}).status_code == 403
    without = orders.admin.http.post(f"{orders.admin.base}{path}", json={"all": True}, headers={"X-CSRFToken": ""})
    assert without.status_code == 400
    assert {name: orders.look(name)[0] for name in before} == dict.fromkeys(before, True)


def _user_without_rights(orders: World) -> Client:
    roles = orders.admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
    gamma = next(role["id"] for role in roles if role["name"] == "Gamma")
    name = f"gamma-{orders.mark}"
    body = {
        "username": name, "password": "inside-1!", "first_name": name, "last_name": "T", "active": True,
        "email": f"{name}@example.org", "roles": [gamma],
    }  # fmt: skip
    orders.made("/api/v1/security/users/", body)
    return Client(orders.admin.base, name, "inside-1!")


def test_the_log_says_what_happened(orders: World) -> None:
    """Intent: source, operation, tables, time and what went."""
    warmed(orders)
    known = "SELECT count(*) FROM superset_ext.cache_request WHERE %s = ANY(tags)"
    until(lambda: rows(orders.stack, known, (f"table:{orders.database}:public.{orders.orders}",))[0][0] >= len(READING))
    at = time.time()
    assert webhook(orders, tables=[table(orders)], changed_at=at).status_code == 200
    took = time.time() - at
    sql = """
        SELECT source, operation, tables, seconds, requests_affected, entries_affected, entries_exact
        FROM superset_ext.cache_invalidation_log WHERE source = 'webhook' AND seconds IS NOT NULL AND %s = ANY(tables)
        ORDER BY id DESC LIMIT 1"""
    name = f"{orders.database}:public.{orders.orders}"
    ((source, operation, tables, seconds, requests, entries, exact),) = until(lambda: rows(orders.stack, sql, (name,)))
    assert (source, operation, tables, exact) == ("webhook", "data_update", [name], False)
    assert 0 < seconds <= took
    assert requests >= 5
    assert entries >= requests


def test_what_a_change_did(orders: World) -> None:
    """Intent: frequency, and hit ratio and response time before and after, of the datasets that show what changed."""
    warmed(orders)
    name = f"{orders.database}:public.{orders.orders}"
    asked = """
        SELECT sum(cache_hits) >= 1 AND sum(cache_misses) >= 1 FROM superset_ext.cache_performance_log
        WHERE dataset_id = %s AND created_at > now() - interval '15 minutes'"""
    until(lambda: rows(orders.stack, asked, (orders.datasets["table"],))[0][0])
    assert webhook(orders, tables=[table(orders)]).status_code == 200
    orders.look("table")
    orders.look("table")

    def row_of_change() -> dict[str, Any] | None:
        query = (SQL / "queries" / "invalidation_impact.sql").read_text()
        with closing(psycopg2.connect(orders.stack.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        rows = [row for row in rows if row["tables"] == [name] and row["source"] == "webhook"]
        # Each web process writes what it counted when its own interval is over.
        return rows[0] if rows and 0 < (rows[0]["hit_ratio_after"] or 0) < 1 else None

    change = until(row_of_change)
    assert change["requests_before"] > 0 and 0 < change["hit_ratio_before"] < 1
    assert change["response_time_before"] > 0 and change["response_time_after"] > 0
    often = rows(orders.stack, (SQL / "queries" / "invalidation_frequency.sql").read_text())
    assert sum(row[2] for row in often if row[1] == "webhook") >= 1 and all(row[4] >= row[5] for row in often if row[4])
