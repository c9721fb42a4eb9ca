"""Single flight on a real server: over threads and processes one query, whoever dies, fails or is late."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from superset_ext.cache import scope
from superset_ext.cache.region import RegionCache
from superset_ext.embedded.valkey import Valkey
from superset_ext.signals import Miss, Stale, stale
from tests.regions import client_of, heard, make_region

spawn = multiprocessing.get_context("spawn")
PROCESSES, THREADS = 4, 64
LEASE = 2


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


def region(url: str, **knobs: object) -> RegionCache:
    limits = {"LEASE_SECONDS": LEASE, "CHART_DATA_POOL_SIZE": 100, "READ_TIMEOUT_MS": 5000, "TOTAL_TIMEOUT_MS": 20000}
    return make_region(url, **{**limits, **knobs})


def ask(cache: RegionCache, key: str, query: Callable[[], Any], forced: bool = False) -> Any:
    """What Superset does: get, and where there is nothing run the query and set."""
    with scope.framed(scope.Scope(dataset_id=1, database_id=1, forced=forced)):
        found = cache.get(key)
        if found is None:
            found = {"query": "SELECT 1", "value": query()}
            cache.set(key, found)
        return found["value"]


def crowd(url: str, key: str, forced: bool, seconds: float, began: Any, answers: Any) -> None:
    """One process: all of its threads ask at once; a query counts itself in Redis."""
    cache, client = region(url), client_of(url)
    client.ping()
    cache.get("connect")

    def query() -> int:
        number = int(client.incr("queries"))
        time.sleep(seconds)
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
    processes = [spawn.Process(target=crowd, args=(url, "k", forced, 1.0, began, answers)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    found = [value for _ in processes for value in answers.get(timeout=120)]
    for process in processes:
        process.join(30)
    return found


@pytest.mark.parametrize("forced", [False, True], ids=["cold", "forced"])
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

    ask(region(url), "k", query)


def test_an_owner_that_is_killed_is_replaced_within_its_lease(url: str) -> None:
    """Intent: SIGKILL leaves a lease that nobody renews; the first who waits takes it over, once."""
    began = spawn.Event()
    owner = spawn.Process(target=die, args=(url, began))
    owner.start()
    assert began.wait(60)
    cache, runs = region(url), []

    def query() -> int:
        runs.append(time.monotonic())
        return 7

    with ThreadPoolExecutor(16) as threads:
        waiting = [threads.submit(ask, cache, "k", query) for _ in range(16)]
        while not cache._readers._flights._waiting:
            time.sleep(0.01)
        os.kill(owner.pid or 0, signal.SIGKILL)
        killed = time.monotonic()
        assert [each.result(60) for each in waiting] == [7] * 16
    owner.join()
    assert len(runs) == 1
    assert runs[0] - killed < LEASE + 1


def test_a_query_that_takes_longer_than_a_lease_is_still_the_only_one(url: str) -> None:
    """Intent: the owner lives, so its lease is renewed."""
    assert_one = []

    def query() -> int:
        assert_one.append(1)
        time.sleep(LEASE * 2.5)
        return 1

    cache = region(url)
    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(lambda _: ask(cache, "k", query), range(8))] == [1] * 8
    assert assert_one == [1]


def test_a_failed_query_is_everybody_s_own(url: str) -> None:
    """Intent: the lease is given back at the request's end, and nobody waits for anybody's error."""
    cache, runs = region(url), []
    barrier = threading.Event()

    def query() -> None:
        runs.append(threading.get_ident())
        barrier.wait(30)
        raise ValueError("no such column")

    def one(_: int) -> str:
        with pytest.raises(ValueError, match="no such column"):
            ask(cache, "k", query)
        return "failed"

    with ThreadPoolExecutor(6) as threads:
        waiting = [threads.submit(one, number) for number in range(6)]
        while len(next(iter(cache._readers._flights._waiting.values()), ())) < 5:
            time.sleep(0.01)
        started = time.monotonic()
        barrier.set()
        assert [each.result(30) for each in waiting] == ["failed"] * 6
    assert len(set(runs)) == 6
    assert time.monotonic() - started < LEASE
    assert not client_of(url).keys("chart_~l:*")


def test_patience_ends(url: str) -> None:
    """Intent: waiters past their patience run the query themselves."""
    cache = region(url, WAIT_SECONDS=0.3)
    held, let = threading.Event(), threading.Event()

    def slow() -> int:
        held.set()
        let.wait(30)
        return 1

    with ThreadPoolExecutor(1) as threads:
        owner = threads.submit(ask, cache, "k", slow)
        assert held.wait(10)
        assert ask(cache, "k", lambda: 2) == 2
        let.set()
        assert owner.result(10) == 1


def test_a_late_owner_does_not_undo_a_newer_answer(url: str) -> None:
    """Intent: whoever's read began earlier stores nothing over what was read later."""
    cache = region(url, WAIT_SECONDS=0)
    held, let = threading.Event(), threading.Event()

    def slow() -> str:
        held.set()
        let.wait(30)
        return "old"

    with ThreadPoolExecutor(1) as threads:
        owner = threads.submit(ask, cache, "k", slow)
        assert held.wait(10)
        assert ask(cache, "k", lambda: "new") == "new"
        let.set()
        assert owner.result(10) == "old"
    assert cache.get("k")["value"] == "new"


def test_a_forced_read_does_not_take_what_was_read_long_before(url: str) -> None:
    """Intent: a refresh that somebody asks for now is not answered by a query that has been running for long."""
    cache, held, let = region(url), threading.Event(), threading.Event()

    def slow() -> str:
        held.set()
        let.wait(30)
        return "old"

    with ThreadPoolExecutor(1) as threads:
        owner = threads.submit(ask, cache, "k", slow)
        assert held.wait(10)
        time.sleep(2.1)  # longer than what counts as one click
        assert ask(cache, "k", lambda: "new", forced=True) == "new"
        let.set()
        assert owner.result(10) == "old"
    assert cache.get("k")["value"] == "new"


def test_within_its_grace_nobody_waits_and_one_query_runs(url: str) -> None:
    """Intent: the old answer is given at once to all, and one of them has it refreshed."""
    cache = region(url, GRACE_SECONDS=300)
    cache_timeout, taken = 1.0, []
    with scope.framed(scope.Scope(dataset_id=1)):
        cache.get("k")
        cache.set("k", {"query": "SELECT 1", "value": "old"}, timeout=cache_timeout)
    time.sleep(cache_timeout + 0.05)  # nothing tells that an entry has aged

    def take(_channel: str, event: Stale) -> bool:
        taken.append(event.lease)
        return True

    with stale.connected_to(take), heard() as events, ThreadPoolExecutor(16) as threads:
        assert {*threads.map(lambda _: ask(cache, "k", lambda: "new"), range(32))} == {"old"}
    assert len(taken) == 1
    assert [event.stale for event in events] == [True] * 32
    with taken[0].handed(), scope.framed(scope.Scope(dataset_id=1, refreshing=True)):
        assert cache.get("k") is None
        cache.set("k", {"query": "SELECT 1", "value": "new"})
    assert ask(cache, "k", lambda: "newer") == "new"


def test_without_somebody_who_refreshes_one_reader_does(url: str) -> None:
    """Intent: grace never means that nobody runs the query."""
    cache = region(url, GRACE_SECONDS=300)
    with scope.framed(scope.Scope()):
        cache.get("k")
        cache.set("k", {"query": "SELECT 1", "value": "old"}, timeout=0.05)
    time.sleep(0.06)
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
        let.wait(30)
        return 1

    with ThreadPoolExecutor(1) as threads:
        owner = threads.submit(ask, cache, "k", slow)
        assert held.wait(10)
        waiter = threading.Thread(target=own.kill)
        waiter.start()
        started = time.monotonic()
        assert ask(cache, "k", lambda: 2) == 2
        assert time.monotonic() - started < 10
        let.set()
        assert owner.result(30) == 1


def test_nested_queries_neither_wait_for_themselves_nor_lose_their_tags(url: str) -> None:
    """Intent: a chart that is part of itself ends, and an annotation's tables are its chart's too."""
    cache = region(url)
    with scope.framed(scope.Scope(dataset_id=1, database_id=1)):
        assert cache.get("outer") is None
        with scope.framed(scope.Scope(dataset_id=2, database_id=2), layers=[5]):
            assert cache.get("outer") is None
            assert cache.get("inner") is None
            cache.set("inner", {"query": "SELECT 1"})
        cache.set("outer", {"query": "SELECT 1"})
    for tag in ("dataset:2", "layer:5", "tables:2"):
        with scope.framed(scope.Scope(dataset_id=1, database_id=1)):
            assert cache.get("outer")
        cache.stamp([tag])
        assert cache.get("outer") is None
        with scope.framed(scope.Scope(dataset_id=1, database_id=1)) as frame:
            cache.get("outer")
            frame.tags |= {"dataset:2", "layer:5", "tables:2"}
            cache.set("outer", {"query": "SELECT 1"})
