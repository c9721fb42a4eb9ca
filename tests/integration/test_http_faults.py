"""Fail open, over HTTP: whatever happens to Redis or to the log, charts answer 200, and the log says what happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.charts import dataset_id
from testing.faults import CLIENTS, CONFIG, FAULTS, Load
from testing.log import awaited, totals
from testing.serving import Client, web
from testing.warming import PATIENCE

pytestmark = pytest.mark.timeout(900)

REQUESTS = 40  # that have to be answered during each fault
TRACES = {
    "killed": ("miss_error", "errors"),
    "frozen": ("miss_error", "errors"),
    "wrong_password": ("miss_error", "errors"),
    "full": ("sets_memory", "errors"),
}


@dataclass
class Site:
    """A web server whose Redis and log database are this test's own, to be broken."""

    url: str
    valkey: Valkey
    log: Postgres
    log_url: str
    clients: list[Client]
    dataset: int


@pytest.fixture(scope="module")
def site(superset_stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("faults")
    valkey, log = Valkey(folder / "valkey").start(), Postgres(folder / "log").start()
    config = folder / "faults_config.py"
    config.write_text(CONFIG)
    log_url = log.create_database("log")
    env = superset_stack.env | {
        "SUPERSET_EXT_REDIS_URL": valkey.url,
        "SUPERSET_EXT_LOG_DATABASE_URL": log_url,
        "SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "0.5",
        # One that is silent for longer than a busy one.
        "SUPERSET_EXT_CONNECT_TIMEOUT_MS": "1000",
        "SUPERSET_EXT_READ_TIMEOUT_MS": "1000",
        "SUPERSET_EXT_TOTAL_TIMEOUT_MS": "3000",
    }
    try:
        with web(config, env) as url:
            clients = [Client(url, superset_stack.user, superset_stack.password) for _ in range(CLIENTS)]
            yield Site(url, valkey, log, log_url, clients, dataset_id(clients[0], "birth_names"))
    finally:
        valkey.stop()
        log.stop()


@pytest.mark.parametrize("name", FAULTS)
def test_charts_answer_200_through_a_fault(site: Site, name: str) -> None:
    """Intent: no other status while it lasts, hits again when it has ended, and every request in the log."""
    before = awaited(site.log_url, lambda _: True, cache_type="chart_data")
    load = Load(site.clients, site.dataset)
    with load.running():
        assert load.wait(lambda a: a.cached, 5, monotonic()) is not None, "hits before the fault"
        with FAULTS[name](site.valkey, site.log):
            assert load.wait(lambda a: True, REQUESTS, monotonic()) is not None, "answers during the fault"
        assert load.wait(lambda a: a.cached, 5, monotonic()) is not None, "hits after the fault"
    assert {a.status for a in load.asked} == {200}, load.errors[:1]
    asked = len(load.asked)
    requests = before["cache_hits"] + before["cache_misses"] + asked
    after = awaited(
        site.log_url, lambda t: t["cache_hits"] + t["cache_misses"] >= requests, PATIENCE, cache_type="chart_data"
    )
    assert after["cache_hits"] + after["cache_misses"] == requests
    assert after["cache_hits"] - before["cache_hits"] == sum(a.cached for a in load.asked)
    if name in TRACES:
        assert sum(after[c] - before[c] for c in TRACES[name]) > 0, "the counters say what happened"


def test_the_log_lost_nothing(site: Site) -> None:
    """Intent: after all faults the log can be written, and has rows."""
    assert totals(site.log_url, cache_type="chart_data")["cache_hits"] > 0
