"""SQL Lab: an asynchronous query runs in the worker, and its result comes from the query_results region."""

from __future__ import annotations

import time
import uuid
from typing import Any

import redis

from testing.charts import database_id
from testing.log import awaited, totals
from testing.serving import Client
from testing.warming import PATIENCE

REGION = "query_results"


def finished(client: Client, query_id: int) -> dict[str, Any]:
    """The query once the worker is done with it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        query = client.get(f"/api/v1/query/{query_id}").json()["result"]
        if query["status"] in ("success", "failed", "timed_out"):
            return dict(query)
        time.sleep(0.2)
    raise AssertionError("the worker did not run the query in time")


def test_an_asynchronous_query_is_fetched_from_its_region(superset_stack: Any) -> None:
    """Intent: RESULTS_BACKEND is our region, in web and worker alike, and its traffic is in the log."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    database = database_id(client)
    assert client.http.put(f"{client.base}/api/v1/database/{database}", json={"allow_run_async": True}).ok
    # Superset sends the task before it commits the lesser of the two limits, so both are the same here.
    before = totals(superset_stack.database_url, cache_type=REGION)
    started = client.post(
        "/api/v1/sqllab/execute/",
        json={
            "client_id": uuid.uuid4().hex[:11], "database_id": database, "runAsync": True, "queryLimit": 5,
            "sql": "SELECT name, num FROM birth_names ORDER BY num DESC, name LIMIT 5", "schema": "public",
        },
    )  # fmt: skip
    assert started.status_code == 202, started.text
    query = finished(client, started.json()["query"]["queryId"])
    assert query["status"] == "success"
    results_key = query["results_key"]
    stored = redis.Redis.from_url(f"{superset_stack.redis_url}/2").get(f"query_{results_key}")
    assert stored is not None
    assert bytes(stored).startswith(b"SXC")
    fetched = client.get(f"/api/v1/sqllab/results/?q=(key:'{results_key}')")
    assert fetched.status_code == 200, fetched.text
    assert len(fetched.json()["data"]) == 5
    after = awaited(
        superset_stack.database_url,
        lambda t: t["cache_hits"] > before["cache_hits"] and t["sets"] > before["sets"],
        PATIENCE,
        cache_type=REGION,
    )
    assert after["cache_hits"] == before["cache_hits"] + 1
    assert after["sets"] == before["sets"] + 1
