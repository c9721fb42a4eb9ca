"""The REST API and the commands of monitoring, on a running stack: who may, what they answer, and what is refused."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testing.charts import Chart, dataset_id
from testing.serving import Client
from testing.warming import perf, rows, until

pytestmark = pytest.mark.timeout(900)
BASE = "/api/v1/performance"
READS = ("status", "health", "cache/statistics", "dashboard", "slow-queries", "alerts", "recommendations", "metrics")


@pytest.fixture(scope="module")
def admin(superset_stack: Any) -> Client:
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    number = uuid.uuid4().int % 10**9 + 10**6
    chart = Chart(dataset_id(client, "birth_names"), chart_id=number)
    chart.ask(client, force=True)
    chart.ask(client)
    for table in ("query", "cache"):
        logged = f"SELECT 1 FROM superset_ext.{table}_performance_log WHERE chart_id = %s"
        until(lambda asked=logged: rows(superset_stack, asked, (number,)))
    assert perf(superset_stack, "refresh").returncode == 0
    return client


@pytest.fixture(scope="module")
def outsider(admin: Client) -> Iterator[Client]:
    """Somebody with all of Superset's own rights to read data, and none of ours."""
    roles = admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
    alpha = next(role["id"] for role in roles if role["name"] == "Alpha")
    name = f"u{uuid.uuid4().hex[:8]}"
    body = {
        "username": name, "password": "outside-1!", "first_name": "O", "last_name": "T", "active": True,
        "email": f"{name}@example.org", "roles": [alpha],
    }  # fmt: skip
    number = admin.post("/api/v1/security/users/", json=body).json()["id"]
    yield Client(admin.base, name, "outside-1!")
    admin.http.delete(f"{admin.base}/api/v1/security/users/{number}")


@pytest.mark.parametrize("route", READS)
def test_who_may(admin: Client, outsider: Client, route: str) -> None:
    """Intent: an administrator is answered, and others are told that they may not."""
    assert admin.get(f"{BASE}/{route}").status_code == 200
    assert outsider.get(f"{BASE}/{route}").status_code == 403


def test_what_is_said(admin: Client, superset_stack: Any) -> None:
    """Intent: the figures are those of the log."""
    regions = admin.get(f"{BASE}/status").json()["regions"]
    assert {row["region"] for row in regions} >= {"chart_data", "metadata", "query_results"}
    assert all(row["reachable"] for row in regions)
    assert admin.get(f"{BASE}/health").json()["healthy"] is True
    counted = """
        SELECT sum(cache_hits), sum(cache_misses) FROM superset_ext.cache_performance_log
        WHERE cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm' AND created_at > now() - interval '1 day'"""

    def equal() -> bool:
        ((hits, misses),) = rows(superset_stack, counted)
        statistics = admin.get(f"{BASE}/cache/statistics").json()["result"]
        return any(
            (row["cache_type"], row["hits"], row["misses"]) == ("chart_data", hits, misses) for row in statistics
        )

    until(equal)
    whole = admin.get(f"{BASE}/dashboard").json()
    assert whole["caches"] and whole["refreshes"] and "slow_queries" in whole


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "min_duration_ms=-1", "min_duration_ms=nan"])
def test_slow_queries_refuse(admin: Client, query: str) -> None:
    """Intent: a wrong argument is a 400 that names it."""
    answer = admin.get(f"{BASE}/slow-queries?{query}")
    assert answer.status_code == 400 and repr(query.partition("=")[0]) in answer.json()["message"]


def test_slow_queries(admin: Client) -> None:
    """Intent: statements without values, the costliest first, and as many as were asked for."""
    rows = admin.get(f"{BASE}/slow-queries?limit=2").json()["result"]
    assert 1 <= len(rows) <= 2
    assert [row["total_seconds"] for row in rows] == sorted((e["total_seconds"] for e in rows), reverse=True)
    assert all(row["sql"] for row in rows)
    assert admin.get(f"{BASE}/slow-queries?min_duration_ms=1e12").json()["result"] == []


def test_metrics(admin: Client, superset_stack: Any) -> None:
    """Intent: Prometheus reads them, and the counters are what was rolled up."""
    text = admin.get(f"{BASE}/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"superset_ext_hits", "superset_ext_misses", "superset_ext_saved_seconds"} <= set(families)
    ((hits,),) = rows(superset_stack, "SELECT sum(hits) FROM superset_ext.cache_daily WHERE cache_type = 'chart_data'")
    values = [
        sample.value for sample in families["superset_ext_hits"].samples if sample.labels["cache"] == "chart_data"
    ]
    assert values and values[0] <= float(hits)


def test_alert_rules(admin: Client, superset_stack: Any) -> None:
    """Intent: a rule is added, changed, listed and removed, over HTTP and by command; bad ones change nothing."""
    rule = {
        "name": f"test {uuid.uuid4().hex[:8]}", "metric_type": "hit_ratio", "threshold_value": 0.1,
        "comparison_operator": "<",
    }  # fmt: skip
    before = admin.get(f"{BASE}/alerts").json()["rules"]
    for bad in ({}, rule | {"metric_type": "nothing"}, rule | {"threshold_value": "much"}, [rule]):
        answer = admin.post(f"{BASE}/alerts", json=bad)
        assert answer.status_code == 400 and "\n" not in answer.json()["message"], answer.text
    assert admin.get(f"{BASE}/alerts").json()["rules"] == before
    made = admin.post(f"{BASE}/alerts", json=rule)
    assert made.status_code == 201, made.text
    number = made.json()["id"]
    changed = admin.http.put(f"{admin.base}{BASE}/alerts/{number}", json={"enabled": False})
    assert changed.status_code == 200 and changed.json()["enabled"] is False
    listed = perf(superset_stack, "alerts", "list")
    assert re.search(rf"{number} off warning +{rule['name']}: hit_ratio < 0.1 over 15 min", listed.stdout), (
        listed.stdout
    )
    assert admin.http.delete(f"{admin.base}{BASE}/alerts/{number}").json()["result"] == "removed"
    assert admin.http.delete(f"{admin.base}{BASE}/alerts/{number}").status_code == 404


def test_commands(superset_stack: Any, admin: Client) -> None:
    """Intent: what an administrator types is answered in words, and as JSON."""
    done = perf(superset_stack, "recommend")
    assert done.returncode == 0, done.stderr
    done = perf(superset_stack, "refresh", "--json")
    rows = json.loads(done.stdout[done.stdout.index("[\n") :])
    assert {"rollups", "names"} <= {row["view"] for row in rows}
    assert not [row for row in rows if row["error"]]
