"""What rules do to entries on a real server."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.query import running
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Scope
from superset_ext.freshness.change import Change, Freshness, SourceTable
from superset_ext.settings import Operation
from superset_ext.sqltables.table import Table
from testing.regions import client_of, given, make_region, now_ms

SOURCE = SimpleNamespace(
    name="Sales",
    database=SimpleNamespace(database_name="warehouse", db_engine_spec=SimpleNamespace(engine="postgresql")),
)
ORDERS = {"query": "SELECT * FROM public.orders"}


@pytest.fixture
def url(valkey: Valkey) -> str:
    client_of(f"redis://127.0.0.1:{valkey.port}").flushall()
    return f"redis://127.0.0.1:{valkey.port}"


def region(url: str, **rule: Any) -> ChartCache:
    return make_region(url, RULES=json.dumps([{"name": "r", "table": "orders"} | rule]))


def store(cache: ChartCache, value: dict[str, str] = ORDERS) -> bool:
    with running(Scope(dataset_id=1, database_id=1), SOURCE):
        cache.get("k")
        return cache.set("k", value)


def change(cache: ChartCache, operation: Operation) -> None:
    freshness = Freshness(lambda: cache, lambda _database, tables: tables, None)
    freshness.changed(Change("webhook", operation, tables=[SourceTable(1, Table("public", "orders"))]))


def test_a_rule_may_forbid_the_cache(url: str) -> None:
    """Intent: nothing is stored, and nothing else is touched."""
    cache = region(url, cache=False)
    assert store(cache) is False
    assert cache.get("k") is None
    assert store(cache, {"query": "SELECT * FROM public.others"})


def test_a_rule_sets_another_timeout(url: str) -> None:
    """Intent: for what it matches alone."""
    cache = region(url, timeout=100, grace=50)
    client = client_of(url)
    since = now_ms(client)
    assert store(cache)
    assert given(client, "chart_k", 150, since)
    assert store(cache, {"query": "SELECT * FROM public.others"})
    assert given(client, "chart_k", 900, since)


@pytest.mark.parametrize(
    ("operation", "gone"), [("data_update", True), ("schema_change", True), ("user_action", False)]
)
def test_a_rule_names_what_invalidates(url: str, operation: Operation, gone: bool) -> None:
    """Intent: other operations leave the entry alone."""
    cache = region(url, strategy="event", invalidate_on=["data_update", "schema_change"])
    assert store(cache)
    change(cache, operation)
    assert (cache.get("k") is None) is gone


def test_everything_is_everything(url: str) -> None:
    """Intent: no rule keeps an entry that somebody wants dropped by --all."""
    cache = region(url, strategy="event", invalidate_on=["schema_change"])
    assert store(cache)
    Freshness(lambda: cache, lambda _database, tables: tables, None).changed(
        Change("cli", "data_update", everything=True)
    )
    assert cache.get("k") is None


def test_what_is_used_lives_on(url: str) -> None:
    """Intent: an entry lives for max_age, and to its end once it was read often enough."""
    cache = region(url, strategy="usage", max_age=300, min_hits=3, timeout=5000)
    assert store(cache)
    for _ in range(2):
        assert cache.get("k")
        assert client_of(url).pttl("chart_k") <= 300_000
    assert cache.get("k")
    assert client_of(url).pttl("chart_k") > 4_000_000
    with running(Scope(dataset_id=1, database_id=1, forced=True), SOURCE):
        cache.get("k")
        cache.set("k", ORDERS)  # a new answer begins anew
    assert client_of(url).pttl("chart_k") <= 300_000
