"""Asynchronous charts: counted once, and answered also when their entry has gone before they are fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.charts import Chart, dataset_id
from testing.log import awaited
from testing.serving import Client, web, worker
from testing.warming import PATIENCE

CONFIG = """
FEATURE_FLAGS = {{"GLOBAL_ASYNC_QUERIES": True}}
GLOBAL_ASYNC_QUERIES_JWT_SECRET = "a-secret-of-the-test-that-is-long-enough"
GLOBAL_ASYNC_QUERIES_TRANSPORT = "polling"
GLOBAL_ASYNC_QUERIES_CACHE_BACKEND = {{
    "CACHE_TYPE": "RedisCache", "CACHE_REDIS_HOST": "127.0.0.1", "CACHE_REDIS_PORT": {port}, "CACHE_REDIS_DB": 9,
}}
from superset_ext.config import *
"""


@dataclass
class Async:
    """A web server and a worker with asynchronous queries on, with a cache and a log of their own."""

    client: Client
    log_url: str
    valkey: Valkey
    dataset: int

    def chart(self, limit: int) -> Chart:
        return Chart(self.dataset, limit=limit, chart_id=limit)

    def finished(self, chart: Chart) -> str:
        """Ask for a chart that is not cached, wait for the worker, and return where its result is."""
        asked = chart.ask(self.client)
        assert asked.status_code == 202, asked.text
        job = asked.json()["job_id"]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            events = self.client.get("/api/v1/async_event/").json()["result"]
            for event in (e for e in events if e["job_id"] == job):
                if event["status"] == "done":
                    return str(event["result_url"])
                assert event["status"] in ("pending", "running"), event
            time.sleep(0.1)
        raise AssertionError("the worker did not finish the chart in time")

    def entries(self) -> redis.Redis:
        return redis.Redis.from_url(f"{self.valkey.url}/3")


@pytest.fixture(scope="module")
def asynchronous(superset_stack: Any, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Async]:
    folder = tmp_path_factory.mktemp("async")
    valkey = Valkey(folder / "valkey").start()
    config = folder / "async_config.py"
    config.write_text(CONFIG.format(port=valkey.port))
    log_url = postgres.create_database("async_log")
    env = superset_stack.env | {
        "SUPERSET_EXT_REDIS_URL": valkey.url,
        "SUPERSET_EXT_LOG_DATABASE_URL": log_url,
        "SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "0.5",
    }
    with web(config, env) as base, worker(config, env, folder / "worker.log"):
        client = Client(base, superset_stack.user, superset_stack.password)
        yield Async(client, log_url, valkey, dataset_id(client, "birth_names"))
    valkey.stop()


def counted(log_url: str, chart_id: int, done: Callable[[Any], bool]) -> tuple[int, int]:
    sums = awaited(log_url, done, PATIENCE, cache_type="chart_data", chart_id=chart_id)
    return sums["cache_hits"], sums["cache_misses"]


def test_a_chart_counts_once(asynchronous: Async) -> None:
    """Intent: get in web, get and set in the worker, get in web again are one miss; the next view is one hit."""
    chart = asynchronous.chart(11)
    fetched = asynchronous.client.get(asynchronous.finished(chart))
    assert fetched.status_code == 200
    assert fetched.json()["result"][0]["data"]
    assert counted(asynchronous.log_url, 11, lambda t: t["cache_misses"] > 0) == (0, 1)
    again = chart.ask(asynchronous.client)
    assert again.status_code == 200
    assert again.json()["result"][0]["is_cached"] is True
    assert counted(asynchronous.log_url, 11, lambda t: t["cache_hits"] > 0) == (1, 1)


def test_an_entry_that_went_before_the_fetch_is_made_again(asynchronous: Async) -> None:
    """Intent: stock answers 422 when the entry is gone; the query runs again, and is not counted again."""
    chart = asynchronous.chart(12)
    where = asynchronous.finished(chart)
    keys = [k for k in asynchronous.entries().scan_iter("chart_*") if not k.startswith(b"chart_~")]
    assert keys
    asynchronous.entries().delete(*keys)
    fetched = asynchronous.client.get(where)
    assert fetched.status_code == 200
    assert len(fetched.json()["result"][0]["data"]) == 2
    assert counted(asynchronous.log_url, 12, lambda t: t["cache_misses"] > 0) == (0, 1)
