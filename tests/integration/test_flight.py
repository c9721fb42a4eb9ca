"""Single flight on a real server: over threads and processes one query, whoever dies, fails or is late."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from superset_ext.cache import chart as charts
from superset_ext.cache.chart import ChartCache
from superset_ext.cache.lease import Lease
from superset_ext.cache.query import running
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Miss, Scope
from testing.regions import client_of, heard, make_region
from testing.warming import until

spawn = multiprocessing.get_context("spawn")
PROCESSES, THREADS = 4, 64
LEASE = 2
LONG = 600  # longer than any machine is busy
HANGS = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    made = Valkey(tmp_path_factory.mktemp("flight"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def url(server: Valkey) -> str:
    redis.Redis(port=server.port).flushall()
    return f"redis://127.0.0.1:{server.port}"


def region(url: str, **knobs: object) -> ChartCache:
    limits = {"LEASE_SECONDS": LONG, "WAIT_SECONDS": LONG, "CHART_DATA_POOL_SIZE": 100}
    return make_region(url, **{**limits, **knobs})


def waiters(cache: ChartCache) -> int:
    """How many threads wait for what others have been asked for."""
    return sum(map(len, list(cache._flights._waiting.values())))


def ask(cache: ChartCache, key: str, query: Callable[[], Any], forced: bool = False) -> Any:
    """What Superset does: get, and where there is nothing run the query and set."""
    with running(Scope(dataset_id=1, database_id=1, forced=forced)):
        entry = cache.get(key)
        if entry is None:
            entry = {"query": "SELECT 1", "value": query()}
            cache.set(key, entry)
        return entry["value"]


def test_a_lease_that_is_anothers_by_now_is_left_alone(url: str) -> None:
    """Intent: who was too late, and then fails, does not give back what somebody else has been given since."""
    cache, client = region(url), client_of(url)
    with running(Scope(dataset_id=1, database_id=1)):
        assert cache.get("k") is None
        [lease] = [key for key in client.scan_iter() if client.type(key) == b"string"]
        client.set(lease, b"another's")
    assert client.get(lease) == b"another's"


def tell_waiting(cache: ChartCache, client: redis.Redis) -> None:
    """Have each thread that begins to wait count itself in Redis."""
    flights = cache._flights
    stock, threads = flights.wait, set()

    def wait(wake: Any, seconds: float) -> None:
        if threading.get_ident() not in threads:
            threads.add(threading.get_ident())
            client.incr("waiting")
        stock(wake, seconds)

    flights.wait = wait  # type: ignore[method-assign]


def crowd(url: str, key: str, forced: bool, began: Any, answers: Any) -> None:
    """One process: all of its threads ask at once; a query counts itself in Redis, and takes until all others wait."""
    charts.SAME_CLICK_US = LONG * 1_000_000
    cache, client = region(url), client_of(url)
    client.ping()
    cache.get("connect")
    tell_waiting(cache, client)

    def query() -> int:
        number = int(client.incr("queries"))
        with suppress(AssertionError):  # what the others ask for instead is counted
            until(lambda: client.get("waiting") == b"%d" % (PROCESSES * THREADS - 1))
        return number

    barrier = threading.Barrier(THREADS)

    def one(_: int) -> int:
        barrier.wait()
        return ask(cache, key, query, forced)  # type: ignore[no-any-return]

    with ThreadPoolExecutor(THREADS) as threads:
        began.wait()
        answers.put([*threads.map(one, range(THREADS))])


def answers_of_a_crowd(url: str, forced: bool) -> list[int]:
    began, answers = spawn.Barrier(PROCESSES), spawn.Queue()
    processes = [spawn.Process(target=crowd, args=(url, "k", forced, began, answers)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    values = [value for _ in processes for value in answers.get(timeout=240)]
    for process in processes:
        process.join(HANGS)
    return values


@pytest.mark.parametrize("forced", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["cold", "forced"])
def test_64_threads_in_4_processes_run_one_query(url: str, forced: bool) -> None:
    """Intent: whoever misses the same key at the same time waits for one query; a forced refresh too."""
    if forced:
        ask(region(url), "k", lambda: 0)
    assert answers_of_a_crowd(url, forced) == [1] * PROCESSES * THREADS
    assert client_of(url).get("queries") == b"1"


def die(url: str, began: Any) -> None:
    def query() -> None:
        began.set()
        time.sleep(600)

    ask(region(url, LEASE_SECONDS=LEASE), "k", query)


def test_an_owner_that_is_killed_is_replaced_within_its_lease(url: str) -> None:
    """Intent: SIGKILL leaves a lease that nobody renews; the first who waits takes it over, once."""
    began = spawn.Event()
    owner = spawn.Process(target=die, args=(url, began))
    owner.start()
    assert began.wait(2 * HANGS)
    cache, client, runs, lease = region(url), client_of(url), [], "chart_~l:chart_k"
    theirs = client.get(lease)

    def query() -> int:
        runs.append(1)
        return 7

    with ThreadPoolExecutor(16) as threads:
        waiting = [threads.submit(ask, cache, "k", query) for _ in range(16)]
        until(lambda: waiters(cache))
        os.kill(owner.pid or 0, signal.SIGKILL)
        owner.join()
        held, left = client.pipeline().get(lease).pttl(lease).execute()
        assert held is None or held != theirs or 0 <= left <= LEASE * 1000
        assert [answer.result(HANGS) for answer in waiting] == [7] * 16
    assert len(runs) == 1


def test_a_query_that_takes_longer_than_a_lease_is_still_the_only_one(url: str) -> None:
    """Intent: the owner lives, so its lease is renewed."""
    cache, client, runs = region(url, LEASE_SECONDS=LONG), client_of(url), []
    lease, third = "chart_~l:chart_k", LONG // 3

    def query() -> int:
        runs.append(1)
        until(lambda: waiters(cache) == 7)
        for _ in range(5):  # as if a third of the lease's time were over
            client.pexpire(lease, client.pttl(lease) - third * 1000)
            cache._flights._renewed -= third
            until(lambda: client.pttl(lease) > 2 * third * 1000)
        return 1

    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(lambda _: ask(cache, "k", query), range(8))] == [1] * 8
    assert runs == [1]


def test_a_failed_query_is_everybody_s_own(url: str) -> None:
    """Intent: the lease is given back at the request's end, and nobody waits for anybody's error."""
    cache, runs = region(url), []
    barrier = threading.Event()

    def query() -> None:
        runs.append(1)
        barrier.wait(HANGS)
        raise ValueError("no such column")

    def one(_: int) -> str:
        with pytest.raises(ValueError, match="no such column"):
            ask(cache, "k", query)
        return "failed"

    with ThreadPoolExecutor(6) as threads:
        waiting = [threads.submit(one, number) for number in range(6)]
        until(lambda: runs and waiters(cache) == 5)
        barrier.set()
        assert [answer.result(HANGS) for answer in waiting] == ["failed"] * 6  # long before any lease ends by itself
    assert len(runs) == 6
    assert not client_of(url).keys("chart_~l:*")


def test_patience_ends(url: str) -> None:
    """Intent: waiters past their patience run the query themselves."""
    cache = region(url, WAIT_SECONDS=0.3)
    held, let = threading.Event(), threading.Event()

    def slow() -> int:
        held.set()
        let.wait(HANGS)
        return 1

    with ThreadPoolExecutor(1) as threads:
        owner = threads.submit(ask, cache, "k", slow)
        assert held.wait(HANGS)
        assert ask(cache, "k", lambda: 2) == 2
        let.set()
        assert owner.result(HANGS) == 1


def test_a_late_owner_does_not_undo_a_newer_answer(url: str) -> None:
    """Intent: whoever's read began earlier stores nothing over what was read later."""
    cache = region(url, WAIT_SECONDS=0)
    held, let = threading.Event(), threading.Event()

    def slow() -> str:
        held.set()
        let.wait(HANGS)
        return "old"

    with ThreadPoolExecutor(1) as threads:
        owner = threads.submit(ask, cache, "k", slow)
        assert held.wait(HANGS)
        assert ask(cache, "k", lambda: "new") == "new"
        let.set()
        assert owner.result(HANGS) == "old"
    assert cache.get("k")["value"] == "new"


def test_a_forced_read_does_not_take_what_was_read_long_before(url: str) -> None:
    """Intent: a refresh that somebody asks for now is not answered by a query that has been running for long."""
    cache, held, let = region(url), threading.Event(), threading.Event()

    def slow() -> str:
        held.set()
        let.wait(HANGS)
        return "old"

    with ThreadPoolExecutor(1) as threads:
        owner = threads.submit(ask, cache, "k", slow)
        assert held.wait(HANGS)
        time.sleep(2.1)  # longer than what counts as one click
        assert ask(cache, "k", lambda: "new", forced=True) == "new"
        let.set()
        assert owner.result(HANGS) == "old"
    assert cache.get("k")["value"] == "new"


def set_long_ago(cache: ChartCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store an answer whose time is over, but whose grace lasts."""
    now_us = cache._store.now_us
    with running(Scope(dataset_id=1)), monkeypatch.context() as clock:
        cache.get("k")
        clock.setattr(cache._store, "now_us", lambda: now_us() - (LONG + 1) * 1_000_000)
        cache.set("k", {"query": "SELECT 1", "value": "old"}, timeout=LONG)


def test_within_its_grace_nobody_waits_and_one_query_runs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: the old answer is given at once to all, and one of them has it refreshed."""
    cache, taken = region(url, GRACE_SECONDS=LONG), []
    set_long_ago(cache, monkeypatch)

    def take(lease: Lease) -> bool:
        taken.append(lease)
        return True

    cache.refresh = take
    with heard() as events, ThreadPoolExecutor(16) as threads:
        assert {*threads.map(lambda _: ask(cache, "k", lambda: "new"), range(32))} == {"old"}
    assert len(taken) == 1
    assert [event.stale for event in events] == [True] * 32
    with taken[0].handed(), running(Scope(dataset_id=1, refreshing=True)):
        assert cache.get("k") is None
        cache.set("k", {"query": "SELECT 1", "value": "new"})
    assert ask(cache, "k", lambda: "newer") == "new"


def test_without_somebody_who_refreshes_one_reader_does(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: grace never means that nobody runs the query."""
    cache = region(url, GRACE_SECONDS=LONG)
    set_long_ago(cache, monkeypatch)
    with heard() as events:
        assert ask(cache, "k", lambda: "new") == "new"
    assert events[-1].result is Miss.EXPIRED


def test_a_stamped_entry_is_not_served_within_its_grace(url: str) -> None:
    """Intent: grace is for age only."""
    cache = region(url, GRACE_SECONDS=300)
    ask(cache, "k", lambda: "old")
    cache.stamp(["dataset:1"])
    assert ask(cache, "k", lambda: "new") == "new"


def test_a_server_that_goes_away_ends_the_wait(url: str, tmp_path: Path) -> None:
    """Intent: nobody waits for an answer that cannot be stored."""
    own = Valkey(tmp_path)
    own.start()
    cache = region(f"redis://127.0.0.1:{own.port}")
    held, let = threading.Event(), threading.Event()

    def slow() -> int:
        held.set()
        let.wait(HANGS)
        return 1

    with ThreadPoolExecutor(2) as threads:
        owner = threads.submit(ask, cache, "k", slow)
        assert held.wait(HANGS)
        waiter = threads.submit(ask, cache, "k", lambda: 2)
        until(lambda: waiters(cache))
        own.kill()
        assert waiter.result(HANGS) == 2
        let.set()
        assert owner.result(HANGS) == 1


def test_nested_queries_neither_wait_for_themselves_nor_lose_their_tags(url: str) -> None:
    """Intent: a chart that is part of itself ends, and an annotation's tables are its chart's too."""
    cache = region(url)
    with running(Scope(dataset_id=1, database_id=1)):
        assert cache.get("outer") is None
        with running(Scope(dataset_id=2, database_id=2), shown=["layer:5"]):
            assert cache.get("outer") is None
            assert cache.get("inner") is None
            cache.set("inner", {"query": "SELECT 1"})
        cache.set("outer", {"query": "SELECT 1"})
    for tag in ("dataset:2", "layer:5", "tables:2"):
        with running(Scope(dataset_id=1, database_id=1)):
            assert cache.get("outer")
        cache.stamp([tag])
        assert cache.get("outer") is None
        with running(Scope(dataset_id=1, database_id=1)) as running_query:
            cache.get("outer")
            running_query.tags |= {"dataset:2", "layer:5", "tables:2"}
            cache.set("outer", {"query": "SELECT 1"})


def test_a_refused_script_has_not_given_the_lease_back(
    fresh_valkey: Callable[..., Valkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: the lease travels with the answer, so what refuses the answer may refuse the lease too, as a server
    without enough replicas does; it is given back all the same, and nobody waits until it runs out."""
    server = fresh_valkey()
    cache, client = region(server.url), client_of(server.url)
    fill = cache._store.fill

    def refused(*arguments: Any) -> Any:
        client.config_set("min-replicas-to-write", 1)
        try:
            return fill(*arguments)
        finally:
            client.config_set("min-replicas-to-write", 0)

    monkeypatch.setattr(cache._store, "fill", refused)
    with running(Scope(dataset_id=1, database_id=1)):
        assert cache.get("k") is None
        assert client.exists(cache._store.names.leases + b"chart_k")
        assert cache.set("k", {"query": "SELECT 1", "value": 1}) is False
    assert not client.keys("*chart_k")
