"""Regions behind Sentinel, and what happens to them when the primary changes."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from superset_ext.cache.query import running
from superset_ext.cache.region import RegionCache
from superset_ext.embedded.ports import free_port
from superset_ext.embedded.valkey import Valkey, binary
from superset_ext.events import Miss, Scope
from superset_ext.settings import Region
from testing.regions import client_of, heard, make_region

WAIT_SECONDS = 180.0  # a Sentinel that was kept from looking for two seconds trusts nothing for thirty


def until(ready: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not ready():
        assert time.monotonic() < end, what
        time.sleep(0.05)


class Sentinel:
    """A Sentinel that watches one primary as `charts`; it wants a password of its own."""

    def __init__(self, directory: Path, primary: Valkey) -> None:
        self.port = free_port()
        config = directory / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\nrequirepass watchman\n"
            f"sentinel monitor charts 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds charts 600000\nsentinel failover-timeout charts 60000\n"
        )
        command = [str(binary()), str(config), "--sentinel"]
        with (directory / "sentinel.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.client = redis.Redis(port=self.port, password="watchman", decode_responses=True)
        until(self._sees_a_replica, "Sentinel does not find the replica")

    def _sees_a_replica(self) -> bool:
        try:
            return bool(self.client.execute_command("SENTINEL REPLICAS", "charts"))
        except redis.RedisError:
            return False

    def fails_over(self) -> bool:
        """Whether it agrees to; before it has heard of the replica's state, it does not."""
        try:
            return bool(self.client.execute_command("SENTINEL FAILOVER", "charts"))
        except redis.ResponseError:
            return False

    def misses_soon(self) -> None:
        """From now on a silent primary is taken for dead."""
        self.client.execute_command("SENTINEL SET", "charts", "down-after-milliseconds", 500)

    def primary(self) -> int:
        return int(self.client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "charts")[1])

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Valkey, Valkey, Sentinel]]:
    at_once = ["--repl-diskless-sync-delay", "0"]
    primary = Valkey(tmp_path / "primary", args=at_once).start()
    args = ["--replicaof", f"127.0.0.1 {primary.port}", *at_once]
    replica = Valkey(tmp_path / "replica", args=args).start()
    client = redis.Redis.from_url(replica.url)
    until(lambda: client.info("replication")["master_link_status"] == "up", "no replication")
    sentinel = Sentinel(tmp_path, primary)
    yield primary, replica, sentinel
    sentinel.stop()
    replica.stop()
    primary.stop()


def url(sentinel: Sentinel) -> str:
    # The first of the Sentinels is not there: the next one is asked.
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}"
    return f"redis+sentinel://{hosts}/charts/0?sentinel_password=watchman"


def test_failover(servers: tuple[Valkey, Valkey, Sentinel]) -> None:
    """Intent: reads and writes go to the primary, also to the next one, where old chart entries do not count."""
    _, replica, sentinel = servers
    chart, state = make_region(url(sentinel)), make_region(url(sentinel), Region.FILTER_STATE)
    with running(Scope(dataset_id=1)):
        # A process that has just begun leaves its connections once, when it has learned who is primary.
        until(lambda: keeps(chart, "k"), "nothing is stored")
    until(lambda: keeps(state, "k"), "nothing is stored")
    # The URL names database 0, so all regions live there.
    promoted = client_of(f"{replica.url}/0", Region.FILTER_STATE)
    until(lambda: bool(promoted.exists("filter_k")), "not replicated")
    until(sentinel.fails_over, "Sentinel finds the replica no good")
    until(lambda: sentinel.primary() == replica.port, "no failover")
    until(lambda: works(chart) and bool(promoted.exists("chart_new")), "the old primary is still used")
    with heard() as events:
        assert chart.get("k") is None
    assert events[-1].result is Miss.EVICTED
    until(lambda: state.get("k") == 1, "what was replicated is not found")


def keeps(cache: RegionCache, key: str) -> bool:
    return bool(cache.get(key) == 1 or (cache.set(key, 1) and cache.get(key) == 1))


def works(cache: RegionCache) -> bool:
    return cache.set("new", 2) and cache.get("new") == 2


def test_the_primary_dies(servers: tuple[Valkey, Valkey, Sentinel]) -> None:
    """Intent: nothing raises while nobody is primary, and the next one is found without our help."""
    primary, replica, sentinel = servers
    cache = make_region(url(sentinel))
    until(lambda: works(cache), "nothing is stored")
    primary.kill()
    assert cache.get("k") is None
    sentinel.misses_soon()
    until(lambda: sentinel.primary() == replica.port, "no failover")
    until(lambda: works(cache), "no recovery")


def test_a_service_that_nobody_knows(servers: tuple[Valkey, Valkey, Sentinel]) -> None:
    """Intent: a misspelt name fails open."""
    cache = make_region(url(servers[2]).replace("/charts/", "/chart/"))
    assert cache.get("k") is None
