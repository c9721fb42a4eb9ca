"""A region while its server is away, frozen, full, locked or new: nothing raises, nothing waits, and it comes back."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest
import redis

from superset_ext.cache.query import running
from superset_ext.cache.redis.circuit import Circuit, State, circuit, circuits
from superset_ext.cache.redis.connection import AnyConnection
from superset_ext.cache.region import RegionCache
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Miss, Scope, Stored
from superset_ext.settings import Region
from testing.regions import client_of, heard, make_region

HANGS_SECONDS = 60.0
OPERATIONS = 13  # of `use`
Maker = Callable[..., Valkey]


def use(cache: RegionCache) -> None:
    """Every operation once; what each says when it fails."""
    assert cache.get("k") is None
    assert cache.get_many("k", "l") == [None, None]
    assert cache.set("k", 1) is False
    assert cache.set_many({"k": 1}) == []
    assert cache.add("k", 1) is False
    assert cache.has("k") is False
    assert cache.delete("k") is False
    assert cache.delete_many("k", "l") == []
    assert cache.unlink("k") == []
    assert cache.clear() is False
    assert cache.inc("n") is None
    assert cache.dec("n") is None
    assert cache.server_info() is None


def circuit_of(server: Valkey) -> Circuit:
    return next(circuit for circuit in circuits() if circuit.endpoint.endswith(f":{server.port}"))


def recovers(cache: RegionCache) -> None:
    """By itself: a value is stored and got again."""
    until(lambda: cache.set("back", 1) and cache.get("back") == 1)


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + HANGS_SECONDS
    while not done():
        assert time.monotonic() < end, "no recovery"
        time.sleep(0.02)


def assert_left_alone(cache: RegionCache, server: Valkey) -> None:
    """Every operation is refused before it reaches for the server."""
    circuit = circuit_of(server)
    failed, refused = circuit.failed_calls, circuit.refused_calls
    use(cache)
    assert circuit.failed_calls == failed
    assert circuit.refused_calls >= refused + OPERATIONS


def test_killed(fresh_valkey: Maker, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: a crash: quick misses, one warning that names a fix, one line when it is over, counted as errors."""
    server = fresh_valkey()
    cache = make_region(server.url)
    assert cache.set("k", 1)
    server.kill()
    with caplog.at_level(logging.INFO, "superset_ext"):
        use(cache)
        assert circuit_of(server).state is State.OPEN
        assert_left_alone(cache, server)
        with heard() as events:
            cache.get("k")
            cache.set("k", 1)
        assert [event.result for event in events] == [Miss.ERROR, Stored.ERROR]
        server.start()
        recovers(cache)
    messages = [
        (record.levelname, record.getMessage()) for record in caplog.records if "Redis at" in record.getMessage()
    ]
    assert [level for level, _ in messages] == ["WARNING", "INFO"]
    assert "check that it runs" in messages[0][1]


def test_frozen(fresh_valkey: Maker) -> None:
    """Intent: a server that accepts and says nothing costs the silence a few times, then nothing."""
    server = fresh_valkey()
    cache = make_region(server.url, read_timeout_ms=50, circuit_failures=5)
    until(lambda: cache.set("k", 1))  # a busy machine may be silent for so long too
    until(lambda: cache.get("k") == 1)
    failed = circuit_of(server).failed_calls
    os.kill(server.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert [cache.get("k") for _ in range(5)] == [None] * 5
        assert time.monotonic() - started < HANGS_SECONDS
        assert circuit_of(server).failed_calls == failed + 5
        assert circuit_of(server).state is State.OPEN
        assert_left_alone(cache, server)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    recovers(cache)
    until(lambda: cache.get("k") == 1)


def test_frozen_while_many_wait_for_few_connections(fresh_valkey: Maker) -> None:
    """Intent: who waits for a connection is told too, within the total budget."""
    server = fresh_valkey()
    cache = make_region(
        server.url, Region.THUMBNAILS, thumbnails_pool_size=1, total_timeout_ms=300, read_timeout_ms=600_000
    )
    until(lambda: cache.set("k", 1))
    os.kill(server.pid, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=cache.get, args=("k",), daemon=True) for _ in range(8)]
        started = time.monotonic()
        with heard() as events:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(HANGS_SECONDS)
        assert time.monotonic() - started < HANGS_SECONDS
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert [event.result for event in events] == [Miss.ERROR] * 8
    recovers(cache)


def test_a_pool_in_use_is_no_reason_to_open(fresh_valkey: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a pool that is too small says nothing about the server."""
    server = fresh_valkey()
    cache = make_region(server.url, chart_data_pool_size=1)
    cache.set("k", 1)
    node = cache._store.topology.primaries(0)[0]
    with node._pool.connection(time.monotonic() + HANGS_SECONDS), monkeypatch.context() as patience:
        patience.setattr(cache._store, "_total", 0.03)
        for _ in range(10):
            assert cache.get("k") is None
    assert circuit_of(server).state is State.CLOSED
    assert cache.get("k") == 1


def test_a_server_that_dribbles() -> None:
    """Intent: bytes that keep coming never break the silence; the total budget ends it."""
    listener = socket.create_server(("127.0.0.1", 0))
    end = threading.Event()

    def dribble() -> None:
        while not end.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(b"$100000\r\n")
                while not end.wait(0.01):
                    try:
                        client.sendall(b"x")
                    except OSError:
                        break

    threading.Thread(target=dribble, daemon=True).start()
    try:
        cache = make_region(f"redis://127.0.0.1:{listener.getsockname()[1]}", total_timeout_ms=200)
        started = time.perf_counter()
        assert cache.get("k") is None
        assert 0.15 < time.perf_counter() - started < HANGS_SECONDS  # all the bytes would take a thousand seconds
    finally:
        end.set()
        listener.close()


@pytest.mark.parametrize("retry", [False, True])
def test_retry_on_timeout(fresh_valkey: Maker, monkeypatch: pytest.MonkeyPatch, retry: bool) -> None:
    """Intent: a pause that is longer than the silence, but over when it is asked again, is bridged, if that is asked
    for."""
    server = fresh_valkey()
    cache = make_region(server.url, chart_data_retry_on_timeout=retry)
    assert cache.set("k", 1)
    node = cache._store.topology.primaries(0)[0]
    (idle,) = node._pool._idle
    idle._sock.silence = 0.05
    connect, again = node._pool._make, []

    def wakes() -> AnyConnection:
        again.append(1)
        os.kill(server.pid, signal.SIGCONT)
        return connect()

    monkeypatch.setattr(node._pool, "_make", wakes)
    os.kill(server.pid, signal.SIGSTOP)
    assert cache.get("k") == (1 if retry else None)
    assert len(again) == retry


def fill(server: Valkey) -> redis.Redis:
    """Let a server have no room, and evict nothing."""
    client = redis.Redis.from_url(server.url)
    client.config_set("maxmemory-policy", "noeviction")
    client.set("ballast", b"x" * 5_000_000)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) - 1_000_000)
    return client


def test_full(fresh_valkey: Maker, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: what is stored is still read, nothing out of date is left, the circuit stays closed, and it says so."""
    server = fresh_valkey()
    cache = make_region(server.url, max_memory_share=1)
    assert cache.set_many({"kept": 1, "k": "old"})
    client = fill(server)
    with caplog.at_level(logging.WARNING), heard() as events:
        assert cache.set("k", "new") is False
    assert [event.result for event in events] == [Stored.MEMORY]
    assert cache.get_many("kept", "k") == [1, None]
    assert cache.inc("n") is None
    assert cache.delete("kept")
    assert circuit_of(server).state is State.CLOSED
    client.config_set("maxmemory", 0)
    recovers(cache)


def test_nearly_full(fresh_valkey: Maker) -> None:
    """Intent: above the share nothing more is asked of a server that evicts nothing; SQL Lab alone may use the rest."""
    server = fresh_valkey()
    client = redis.Redis.from_url(server.url)
    client.config_set("maxmemory", 2 * int(client.info("memory")["used_memory"]))
    cache, results = make_region(server.url, max_memory_share=0.3), make_region(server.url, Region.QUERY_RESULTS)
    cache.get("k")
    with heard() as events:
        assert cache.set("k", 1) is False
    assert [event.result for event in events] == [Stored.MEMORY]
    assert results.set("k", b"rows")
    client.config_set("maxmemory-policy", "volatile-lru")
    cache._store.topology.primaries(0)[0]._info_at = 0.0
    assert cache.delete("k") is False  # brings the news with it
    assert cache.set("k", 1)


def test_a_wrong_password(fresh_valkey: Maker, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: as away, with the right fix named and neither password ever shown; it comes back with the password."""
    server = fresh_valkey(password="right-secret")
    cache = make_region(server.url.replace("right-secret", "wrong-secret"))
    with caplog.at_level(logging.DEBUG):
        use(cache)
        assert circuit_of(server).state is State.OPEN
        assert_left_alone(cache, server)
        redis.Redis.from_url(server.url).config_set("requirepass", "wrong-secret")
        recovers(cache)
    assert "check the user and the password" in caplog.text
    assert "secret" not in caplog.text.replace("superset_ext", "")
    assert "wrong-secret" not in repr(cache) + repr(vars(cache._store.topology.primaries(0)[0]))
    server.password = "wrong-secret"


def test_restarted_empty(fresh_valkey: Maker) -> None:
    """Intent: the scripts are gone with the data, and the connections are dead; the first read after it works."""
    server = fresh_valkey()
    cache = make_region(server.url)
    assert cache.set("k", 1)
    assert cache.get("k") == 1
    server.kill()
    server.start()
    with heard() as events:
        assert cache.get("k") is None
        assert cache.set("k", 2)
        assert cache.get("k") == 2
    assert [event.result for event in events] == [Miss.COLD, Stored.STORED, None]


def test_scripts_flushed(fresh_valkey: Maker) -> None:
    """Intent: SCRIPT FLUSH costs one more round trip, once."""
    server = fresh_valkey()
    cache = make_region(server.url)
    cache.set("k", 1)
    cache.get("k")
    client_of(server.url).script_flush()
    assert cache.get("k") == 1


def test_an_earlier_run_counts_as_evicted(fresh_valkey: Maker) -> None:
    """Intent: a server that restarted with its data may have lost its latest stamps; other regions have none."""
    server = fresh_valkey(args=["--appendonly", "yes", "--appendfsync", "always"])
    chart, state = make_region(server.url), make_region(server.url, Region.FILTER_STATE)
    with running(Scope(dataset_id=7)):
        chart.get("k")
        assert chart.set("k", 1)
    assert state.set("k", 1)
    server.kill()
    server.start()
    with heard() as events:
        assert chart.get("k") is None
        assert state.get("k") == 1
    assert [event.result for event in events] == [Miss.EVICTED, None]


def test_a_read_in_an_earlier_run(fresh_valkey: Maker) -> None:
    """Intent: a stamp of the first run, lost with it, concerns a query that began in that run too."""
    server = fresh_valkey()
    cache = make_region(server.url)
    with running(Scope(dataset_id=7)):
        cache.get("k")
        server.kill()
        server.start()
        cache.set("k", "stale")
    with heard() as events:
        assert cache.get("k") is None
    assert [event.result for event in events] == [Miss.EVICTED]


def test_a_read_that_failed(fresh_valkey: Maker) -> None:
    """Intent: what was read while Redis was away is not stored: a change in between would be forgotten."""
    server = fresh_valkey()
    cache = make_region(server.url, circuit_failures=100)
    server.kill()
    with running(Scope(dataset_id=7)):
        cache.get("k")
        server.start()
        assert cache.set("k", "stale") is False
        cache.get("k")
        assert cache.set("k", "new")


def test_a_replica_is_refused(fresh_valkey: Maker, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: it may not have seen the latest stamp."""
    primary = fresh_valkey()
    replica = fresh_valkey(args=["--replicaof", f"127.0.0.1 {primary.port}"])
    cache = make_region(replica.url, circuit_failures=1)
    with caplog.at_level(logging.WARNING):
        assert cache.get("k") is None
    assert "let its URL name the primary" in caplog.text


def test_a_fork(fresh_valkey: Maker) -> None:
    """Intent: gunicorn's preload and Celery's prefork: a child shares neither sockets nor an open circuit."""
    server = fresh_valkey()
    cache = make_region(server.url)
    assert cache.set("k", "parent")
    opened = circuit("Redis at nowhere:1", 1, 3600)
    opened.failed(RuntimeError("gone"), lambda: None)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # a child that waits for an answer that its parent took ends here
        ok = all(cache.get("k") == "parent" for _ in range(50)) and opened.state is State.CLOSED
        os.write(writer, b"1" if ok else b"0")
        os._exit(0)
    assert all(cache.get("k") == "parent" for _ in range(50))
    os.waitpid(child, 0)
    os.close(writer)
    assert os.read(reader, 1) == b"1"
    assert opened.state is State.OPEN
    assert cache.get("k") == "parent"


def test_regions_share_a_circuit(fresh_valkey: Maker) -> None:
    """Intent: what one region has found out, the others need not."""
    server = fresh_valkey()
    first, second = make_region(server.url), make_region(server.url, Region.METADATA)
    first.get("k")
    server.kill()
    for _ in range(5):
        first.get("k")
    circuit = circuit_of(server)
    failed, refused = circuit.failed_calls, circuit.refused_calls
    with heard() as events:
        second.get("k")
    assert [event.result for event in events] == [Miss.ERROR]
    assert (circuit.failed_calls, circuit.refused_calls) == (failed, refused + 1)


def test_a_server_with_one_database(fresh_valkey: Maker, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: what the server answered reaches the log with its fix, and with the fix all regions work together."""
    server = fresh_valkey(args=["--databases", "1"])
    cache = make_region(server.url)
    with caplog.at_level(logging.WARNING):
        use(cache)
    assert "DB index is out of range" in caplog.text
    assert "SUPERSET_EXT_REDIS_URL=redis://host:6379/0" in caplog.text
    circuit_of(server).reset()
    shared = [make_region(f"{server.url}/0", name) for name in Region]
    client_of(f"{server.url}/0").lpush("superset_ext_warm", "a message of Celery's")
    for number, one in enumerate(shared):
        assert one.set("k", b"%d" % number)
    assert [one.get("k") for one in shared] == [b"%d" % number for number in range(len(shared))]
    assert all(one.erase() for one in shared)
    assert client_of(f"{server.url}/0").keys() == [b"superset_ext_warm"]
