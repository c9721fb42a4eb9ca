"""What is kept beside entries, on a real server: as long as they are what they were, and sent once to each process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
import redis

from superset_ext.cache import used
from superset_ext.cache.chart import ChartCache
from superset_ext.cache.envelope import Envelope
from superset_ext.cache.query import running
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Scope
from testing.regions import chart_region, client_of

NAMES = ("first", "second")
LARGE = {"value": "x" * 100_000}


@pytest.fixture
def url(fresh_valkey: Callable[..., Valkey]) -> str:
    """Where an empty server is."""
    return fresh_valkey().url


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    """A plain client of the region's database."""
    with closing(client_of(url)) as client:
        yield client


@pytest.fixture
def region(url: str) -> ChartCache:
    """A region with two entries."""
    region = chart_region(url)
    for name in NAMES:
        with running(Scope(dataset_id=1, database_id=1)):
            region.get(name)
            assert region.set(name, {"query": "SELECT 1", "value": name})
    return region


def parts(region: ChartCache) -> Mapping[str, Envelope]:
    """The entries, as a request notes them that was answered by them."""
    noted = used.watch(lambda _: ())
    try:
        assert all(region.get(name) for name in NAMES)
    finally:
        used.forget()
    assert len(noted.entries) == len(NAMES)
    return noted.entries


def value(region: ChartCache) -> Any:
    """What is kept, as this process is given it."""
    kept = region.kept.grant("grant:it")
    return None if kept is None else kept[1]


def sent(client: redis.Redis) -> int:
    """How often the server was asked for the bytes of anything."""
    counts: Any = client.info("commandstats")
    return int(counts.get("cmdstat_get", {}).get("calls", 0))


def test_it_is_sent_once_to_each_process(region: ChartCache, client: redis.Redis, url: str) -> None:
    """Intent: a process that has read it asks no more for its bytes; another one does, once."""
    assert region.kept.keep_grant("grant:it", LARGE, parts(region), 60)
    assert region.kept.grant("grant:none") is None  # a script that the server does not know yet is sent with all again
    before = sent(client)
    assert [value(region) for _ in range(3)] == [LARGE] * 3
    assert sent(client) == before + 1
    other = chart_region(url)
    assert [value(other) for _ in range(3)] == [LARGE] * 3
    assert sent(client) == before + 2


def test_what_another_process_has_kept_since_is_given(region: ChartCache, url: str) -> None:
    """Intent: what this process has read is used only while Redis has that very one."""
    other = chart_region(url)
    for number in range(3):
        assert other.kept.keep_grant("grant:it", {"value": number}, parts(other), 60)
        assert value(region) == value(other) == {"value": number}


def _delete_one(region: ChartCache, _client: redis.Redis) -> None:
    region.delete(NAMES[1])


def _store_one_anew(region: ChartCache, _client: redis.Redis) -> None:
    region.delete(NAMES[0])
    with running(Scope(dataset_id=1, database_id=1)):
        region.get(NAMES[0])
        assert region.set(NAMES[0], {"query": "SELECT 1", "value": "another"})


def _delete_it(_region: ChartCache, client: redis.Redis) -> None:
    assert client.delete(*client.keys("*grant:it"))


def _overwrite_it(_region: ChartCache, client: redis.Redis) -> None:
    client.set(client.keys("*grant:it")[0], b"of somebody else" * 20)  # type: ignore[index]


def _put_another_type_there(region: ChartCache, client: redis.Redis) -> None:
    (name,) = client.keys("*grant:it")  # type: ignore[misc]
    client.delete(name)
    client.rpush(name, "of somebody else")


def _stamp(region: ChartCache, _client: redis.Redis) -> None:
    region.stamp(["dataset:1"])


def _flush(_region: ChartCache, client: redis.Redis) -> None:
    client.flushall()


ENDS = {
    "an entry is deleted": _delete_one, "an entry is stored anew": _store_one_anew, "it is deleted": _delete_it,
    "it is overwritten": _overwrite_it, "another type lies there": _put_another_type_there, "a tag is stamped": _stamp,
    "all is gone": _flush,
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_it_ends(region: ChartCache, client: redis.Redis, url: str, end: str) -> None:
    """Intent: whatever ends it ends it for a process that has read it as for one that has not."""
    assert region.kept.keep_grant("grant:it", LARGE, parts(region), 60)
    assert value(region) == LARGE
    ENDS[end](region, client)
    assert value(region) is None and value(chart_region(url)) is None


def test_what_was_changed_in_redis_is_not_given(region: ChartCache, client: redis.Redis, url: str) -> None:
    """Intent: bytes that nobody signed are given by no process; one that has read the signed ones may go on to."""
    assert region.kept.keep_grant("grant:it", {"value": "signed"}, parts(region), 60)
    assert value(region) == {"value": "signed"}
    (name,) = client.keys("*grant:it")  # type: ignore[misc]
    data = bytes(client.get(name) or b"")  # type: ignore[arg-type]
    client.set(name, data[:-1] + bytes([data[-1] ^ 1]))
    assert value(region) in (None, {"value": "signed"}) and value(chart_region(url)) is None


def test_who_tells_of_changes_is_looked_at_whatever_was_kept_anew(
    region: ChartCache, client: redis.Redis, url: str
) -> None:
    """Intent: the look that is due is made with the question that is answered, not with the one that came too late."""
    other = chart_region(url)
    assert region.kept.keep_grant("grant:it", LARGE, parts(region), 60)
    assert value(region) == LARGE
    assert other.kept.keep_grant("grant:it", {"value": "anew"}, parts(other), 60)
    store, looked = region._store, list[Mapping[bytes, bytes]]()
    client.hset(store.names.heard, "a listener", "1")
    store.unheard, store._look_at = lambda heard, _: bool(looked.append(heard)), 0.0  # type: ignore[func-returns-value]
    assert value(region) == {"value": "anew"}
    assert looked == [{b"a listener": b"1"}]
