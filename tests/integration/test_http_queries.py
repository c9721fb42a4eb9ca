"""The log of queries over HTTP: what a page and SQL Lab make Superset ask, from web and worker, is what is logged."""

from __future__ import annotations

import time
import uuid
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extras

from testing.charts import Chart, database_id, dataset_id
from testing.serving import Client

SECONDS = 180.0
FOUND = """
SELECT q.*, f.sql FROM superset_ext.query_performance_log q
LEFT JOIN superset_ext.query_fingerprint f USING (fingerprint) WHERE {}
ORDER BY q.created_at
"""


def awaited(url: str, where: str, least: int) -> list[dict[str, Any]]:
    """The rows of the log that `where` names, as soon as they are `least`."""
    deadline = time.monotonic() + SECONDS
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
        while True:
            cursor.execute(FOUND.format(where))
            rows = [dict(row) for row in cursor.fetchall()]
            if len(rows) >= least or time.monotonic() > deadline:
                return rows
            time.sleep(0.2)


def test_a_chart_is_logged_when_it_is_asked_of_its_source(superset_stack: Any) -> None:
    """Intent: a miss is one query, with its dataset, chart, dashboard and user; a hit is none."""
    admin = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    number = uuid.uuid4().int % 10**9 + 10**6
    chart = Chart(dataset_id(admin, "birth_names"), chart_id=number, dashboard_id=number + 1)
    asked = [chart.ask(admin, force=force) for force in (True, False, True)]
    assert [bool(answer.json()["result"][0]["is_cached"]) for answer in asked] == [False, True, False]
    longest = max(answer.elapsed for answer in asked).total_seconds() * 1000
    rows = awaited(superset_stack.database_url, f"q.chart_id = {number}", 2)
    assert len(rows) == 2
    for row in rows:
        assert (row["source"], row["channel"], row["dataset_id"]) == ("chart", "web", chart.dataset)
        assert (row["database_id"], row["dashboard_id"]) == (database_id(admin), number + 1)
        assert (row["rows"], row["error"]) == (2, None)
        assert row["user_id"] > 0
        assert 0 < row["duration_ms"] <= longest
        assert "birth_names" in row["sql"]
        assert "LIMIT ?" in row["sql"]


def test_sql_lab_is_logged_by_whoever_ran_it(superset_stack: Any) -> None:
    """Intent: a query of SQL Lab that the web process ran, one that a worker ran, and one that failed, each once."""
    admin = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    database = database_id(admin)
    assert admin.http.put(f"{admin.base}/api/v1/database/{database}", json={"allow_run_async": True}).ok
    mark = f"m{uuid.uuid4().hex[:10]}"
    for later, column in ((False, "name"), (True, "gender"), (False, "nothere")):
        asked = admin.post(
            "/api/v1/sqllab/execute/",
            json={
                "client_id": uuid.uuid4().hex[:11], "database_id": database, "runAsync": later, "queryLimit": 3,
                "sql": f"SELECT {column} FROM birth_names AS {mark} WHERE name <> 'hush'", "schema": "public",
            },
        )  # fmt: skip
        assert asked.status_code in ((200, 202) if column != "nothere" else (400, 422, 500)), asked.text
    rows = awaited(superset_stack.database_url, f"f.sql LIKE '%{mark}%'", 3)
    assert len(rows) == 3
    entries = {row["sql"].split()[1]: (row["source"], row["channel"], row["rows"], row["error"]) for row in rows}
    assert entries == {
        "name": ("sqllab", "web", 3, None),
        "gender": ("sqllab", "celery", 3, None),
        "nothere": ("sqllab", "web", None, "COLUMN_DOES_NOT_EXIST_ERROR"),
    }
    assert all("hush" not in row["sql"] for row in rows)
