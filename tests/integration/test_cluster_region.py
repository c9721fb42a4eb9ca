"""Regions on a Redis Cluster of three nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from superset_ext.cache.query import running
from superset_ext.cache.redis.circuit import circuits
from superset_ext.cache.region import RegionCache
from superset_ext.embedded.ports import free_port, is_free
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Miss, Outcome, Scope
from superset_ext.settings import Region
from testing.lost_stamps import LOSSES, nothing_old_is_shown
from testing.regions import chart_region, heard, make_region

SLOTS = 16384
CLUSTERED = [
    "--cluster-enabled", "yes", "--cluster-node-timeout", "120000", "--cluster-replica-validity-factor", "0",
    "--repl-diskless-sync-delay", "0",
]  # fmt: skip
WAIT_SECONDS = 120.0


def bus_port() -> int:
    """A port whose cluster bus, 10000 above it, exists and is free."""
    while (port := free_port()) > 55_000 or not is_free(port + 10_000):
        pass
    return port


def call(server: Valkey, *command: object) -> object:
    client = redis.Redis.from_url(server.url)
    try:
        return client.execute_command(*command)
    finally:
        client.close()


def is_whole(server: Valkey) -> bool:
    info = call(server, "CLUSTER INFO")
    return isinstance(info, dict) and info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Valkey]]:
    """Three primaries with a third of the slots each."""
    made = [Valkey(tmp_path_factory.mktemp(f"node{n}"), port=bus_port(), args=CLUSTERED) for n in range(3)]
    try:
        form([server.start() for server in made])
        yield made
    finally:
        for server in made:
            server.stop()


def form(made: list[Valkey]) -> None:
    bounds = [SLOTS * n // 3 for n in range(4)]
    for server, first, after in zip(made, bounds[:3], bounds[1:], strict=True):
        call(server, "CLUSTER ADDSLOTSRANGE", first, after - 1)
        call(server, "CLUSTER MEET", "127.0.0.1", made[0].port)
    end = time.monotonic() + WAIT_SECONDS
    while not all(is_whole(server) for server in made):
        assert time.monotonic() < end, "the cluster does not form"
        time.sleep(0.05)


@pytest.fixture
def url(nodes: list[Valkey]) -> str:
    """The first node alone is named: the others are found."""
    for server in nodes:
        call(server, "FLUSHALL")
    return f"redis+cluster://127.0.0.1:{nodes[0].port}"


@pytest.fixture
def cache(url: str) -> RegionCache:
    return make_region(url)


def owner(nodes: list[Valkey], key: str) -> Valkey:
    return nodes[min(key_slot(key.encode()) * 3 // SLOTS, 2)]


def calls(nodes: list[Valkey], action: Callable[[], object]) -> int:
    """The commands of a read that an action costs all nodes, those inside scripts included."""

    def count() -> int:
        stats = [call(server, "INFO", "commandstats") for server in nodes]
        names = ("cmdstat_get", "cmdstat_hmget", "cmdstat_evalsha", "cmdstat_set", "cmdstat_time")
        return sum(s[name]["calls"] for s in stats for name in names if name in s)  # type: ignore[index,operator]

    before = count()
    action()
    return count() - before


def test_the_contract_over_all_slots(cache: RegionCache) -> None:
    """Intent: keys of every node, alone and together."""
    values = {f"k{number}": number for number in range(60)}
    assert sorted(cache.set_many(values)) == sorted(values)
    assert cache.get_many(*values) == list(values.values())
    assert [cache.get(key) for key in values] == list(values.values())
    assert cache.delete_many("k1", "absent", "k2") == ["k1", "k2"]
    assert cache.add("k1", "again")
    assert not cache.add("k3", "again")
    assert [cache.inc("n"), cache.inc("n"), cache.dec("n", 5)] == [1, 2, -3]
    assert cache.has("k3")
    assert not cache.has("k2")


def test_clear_reaches_every_node(cache: RegionCache, nodes: list[Valkey], url: str) -> None:
    """Intent: all primaries, only its own keys."""
    other = make_region(url, Region.METADATA)
    other.set_many({f"m{number}": number for number in range(30)})
    cache.set_many({f"k{number}": number for number in range(30)})
    assert cache.clear()
    left = [key for server in nodes for key in call(server, "KEYS", "*")]  # type: ignore[attr-defined]
    assert not [key for key in left if key.startswith(b"chart_")]
    assert len([key for key in left if key.startswith(b"superset_m")]) == 30


def test_erase_takes_the_bookkeeping_too(cache: RegionCache, nodes: list[Valkey], url: str) -> None:
    """Intent: in a cluster the keys of stamps do not begin with the region's prefix, but with a brace."""
    make_region(url, Region.METADATA).set("m", 1)
    cache.set_many({f"k{number}": number for number in range(30)})
    cache.stamp(["dataset:7"])
    assert cache.erase()
    left = [key for server in nodes for key in call(server, "KEYS", "*")]  # type: ignore[attr-defined]
    assert sorted(key for key in left if b"superset_" not in key) == []
    assert b"superset_m" in left


def test_a_read_is_two_hops(cache: RegionCache, nodes: list[Valkey]) -> None:
    """Intent: the entry from its slot, all else from one; a forced read asks that one alone."""
    cache.set("k", 1)
    cache.get("k")
    # A GET, and a script that itself asks for the time and once for all stamps.
    assert calls(nodes, lambda: cache.get("k")) == 4
    with running(Scope(forced=True, count_misses=False)):
        assert calls(nodes, lambda: cache.get("k")) == 2


def test_stamps_and_clock_are_in_one_slot(cache: RegionCache, nodes: list[Valkey]) -> None:
    """Intent: whichever node an entry is on, its stamps are on the node whose clock gave its `as_of`."""
    home = owner(nodes, "{chart_~}")
    for number in range(6):
        with running(Scope(dataset_id=number)):
            cache.get(f"k{number}")
            cache.set(f"k{number}", {"query": "q"})
    cache.stamp(["dataset:3"])
    assert call(home, "HEXISTS", "{chart_~}stamps", "dataset:3")
    with heard() as events:
        assert [cache.get(f"k{number}") is None for number in range(6)] == [n == 3 for n in range(6)]
    assert events[3].result is Miss.INVALIDATED


@pytest.mark.parametrize("loss", LOSSES)
def test_lost_stamps_never_mean_unchanged(url: str, loss: str) -> None:
    """Intent: the stamps of all nodes' entries lie on one, which may lose them."""
    nothing_old_is_shown(chart_region(url), LOSSES[loss])


def test_reasons(cache: RegionCache, nodes: list[Valkey]) -> None:
    """Intent: the memory of keys works across nodes."""
    cache.set("k", 1)
    call(owner(nodes, "chart_k"), "DEL", "chart_k")
    cache.set("short", 1, timeout=0.02)
    while call(owner(nodes, "chart_short"), "EXISTS", "chart_short"):
        time.sleep(0.005)
    with heard() as events:
        cache.get_many("k", "short", "cold")
    assert [event.result for event in events] == [Miss.EVICTED, Miss.EXPIRED, Miss.COLD]


def test_a_slot_that_moves(cache: RegionCache, nodes: list[Valkey]) -> None:
    """Intent: ASK while it is on its way, MOVED when it has arrived; neither is seen by the caller."""
    assert cache.set("moving", "old")
    slot, source = key_slot(b"chart_moving"), owner(nodes, "chart_moving")
    target = next(server for server in nodes if server is not source)
    names = {server.port: call(server, "CLUSTER MYID").decode() for server in nodes}  # type: ignore[attr-defined]
    call(target, "CLUSTER SETSLOT", slot, "IMPORTING", names[source.port])
    call(source, "CLUSTER SETSLOT", slot, "MIGRATING", names[target.port])
    call(source, "MIGRATE", "127.0.0.1", target.port, "chart_moving", 0, 60_000)
    assert cache.get("moving") == "old"
    assert cache.set("moving", "new")
    for server in (target, source, *nodes):
        call(server, "CLUSTER SETSLOT", slot, "NODE", names[target.port])
    assert cache.get("moving") == "new"
    assert cache.delete("moving")
    for server in (source, target, *nodes):
        call(server, "CLUSTER SETSLOT", slot, "NODE", names[source.port])


def test_server_info_is_of_all_nodes(cache: RegionCache, nodes: list[Valkey]) -> None:
    """Intent: the memory of a region in a cluster is that of its nodes together."""
    info = cache.server_info()
    assert info is not None
    one = call(nodes[0], "INFO", "memory")["used_memory"]  # type: ignore[index]
    assert info.used_memory > 2 * one


def test_a_node_that_is_no_cluster(valkey: Valkey) -> None:
    """Intent: a URL of the wrong kind fails open."""
    cache = make_region(f"redis+cluster://127.0.0.1:{valkey.port}")
    assert cache.get("k") is None
    assert cache.set("k", 1) is False


def until(ready: Callable[[], object], what: str | Callable[[], str]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not ready():
        assert time.monotonic() < end, what if isinstance(what, str) else what()
        time.sleep(0.05)


def found(events: Sequence[Outcome], nodes: list[Valkey], victim: Valkey, replica: Valkey) -> str:
    """What the region met with last, and what each node thinks of the cluster."""
    views = [call(server, "CLUSTER", "NODES") for server in (*nodes, replica) if server is not victim]
    return f"the replica is not found: {events[-1]}\n" + "\n".join(map(str, views))


def follow(server: Valkey, replica: Valkey, nodes: list[Valkey]) -> None:
    """Make `replica` a node that has all that `server` has, and that all others know as such."""
    name = call(server, "CLUSTER MYID")
    replica.start()
    for node in nodes:
        call(replica, "CLUSTER MEET", "127.0.0.1", node.port)
    names = [call(node, "CLUSTER MYID") for node in nodes]
    until(lambda: all(n in call(replica, "CLUSTER", "NODES") for n in names), "the replica does not join")  # type: ignore
    call(replica, "CLUSTER REPLICATE", name)
    until(lambda: call(replica, "INFO", "replication").get("master_link_status") == "up", "no replication")  # type: ignore
    until(lambda: all(call(node, "CLUSTER", "REPLICAS", name) for node in nodes), "the replica is not known")


def test_one_node_dies(cache: RegionCache, nodes: list[Valkey], tmp_path: Path) -> None:
    """Intent: its keys are quick misses, and its replica is found when the cluster has promoted it.

    Last of this file, since it breaks the cluster.
    """
    keys = [f"k{number}" for number in range(30)]
    cache.set_many(dict.fromkeys(keys, 1))
    home = owner(nodes, "{chart_~}")
    victim = next(server for server in nodes if server is not home)
    mine = next(key for key in keys if owner(nodes, f"chart_{key}") is victim)
    replica = Valkey(tmp_path, port=bus_port(), args=CLUSTERED)
    try:
        follow(victim, replica, nodes)
        victim.kill()
        for _ in range(8):
            assert cache.get(mine) is None
        left = next(circuit for circuit in circuits() if circuit.endpoint.endswith(f":{victim.port}"))
        failed, refused = left.failed_calls, left.refused_calls
        assert cache.get(mine) is None
        assert (left.failed_calls, left.refused_calls) == (failed, refused + 1)
        for server in (*nodes, replica):
            if server is not victim:  # from now on the cluster misses a node that is silent
                call(server, "CONFIG", "SET", "cluster-node-timeout", 1000)
        until(lambda: call(replica, "ROLE")[0] == b"master", "no failover")  # type: ignore[index]
        with heard() as events:
            until(lambda: cache.get(mine) == 1, lambda: found(events, nodes, victim, replica))
    finally:
        replica.stop()
