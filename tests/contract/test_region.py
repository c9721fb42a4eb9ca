"""Flask-Caching's contract, against each of our regions and, for comparison, the stock Redis backend.

Where stock is known to do otherwise, the test says so and runs against ours alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from flask_caching.backends.rediscache import RedisCache

from superset_ext.cache.query import running
from superset_ext.cache.region import RegionCache
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Scope
from superset_ext.settings import Region, load
from testing.regions import client_of, given, make_region, now_ms

STOCK = "stock"
VALUE = {"rows": [1, 2], "none": None}


@pytest.fixture(params=[*Region, STOCK])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(valkey: Valkey, name: str) -> Iterator[redis.Redis]:
    connection = redis.Redis.from_url(f"{valkey.url}/9") if name == STOCK else client_of(valkey.url, Region(name))
    connection.flushdb()
    yield connection
    connection.close()


@pytest.fixture
def cache(valkey: Valkey, name: str, client: redis.Redis) -> RedisCache | RegionCache:
    if name == STOCK:
        return RedisCache(host=client, default_timeout=300, key_prefix="stock_")
    return make_region(valkey.url, Region(name))


def prefix(name: str) -> str:
    return "stock_" if name == STOCK else load({}).region(name).prefix


def own(cache: Any) -> RegionCache:
    """Ours; where stock is known to do otherwise, there is nothing to compare."""
    if not isinstance(cache, RegionCache):
        pytest.skip("stock is known to do otherwise")
    return cache


class TestContract:
    """What every backend does."""

    def test_what_was_set_is_got(self, cache: Any) -> None:
        """Intent: the round trip, and the second value wins."""
        assert cache.get("k") is None
        assert cache.set("k", VALUE)
        assert cache.get("k") == VALUE
        assert cache.set("k", "other")
        assert cache.get("k") == "other"

    def test_many_at_once(self, cache: Any) -> None:
        """Intent: order and absent keys are kept; `set_many` names what it stored."""
        assert sorted(cache.set_many({"a": 1, "b": {"x": "y"}})) == ["a", "b"]
        assert cache.get_many("b", "absent", "a") == [{"x": "y"}, None, 1]
        assert cache.get_dict("a", "absent") == {"a": 1, "absent": None}

    def test_none_of_many(self, cache: Any) -> None:
        """Intent: nothing asked is nothing answered, without an error; stock's MGET refuses it."""
        cache = own(cache)
        assert (cache.get_many(), cache.set_many({}), cache.delete_many()) == ([], [], [])

    def test_delete_says_whether_it_was_there(self, cache: Any) -> None:
        """Intent: `delete` and `has` agree."""
        cache.set("k", VALUE)
        assert cache.has("k")
        assert cache.delete("k") is True
        assert not cache.has("k")
        assert cache.delete("k") is False

    def test_delete_many_deletes_all_that_exist(self, cache: Any) -> None:
        """Intent: an absent key in between does not stop it; stock's stops at the first."""
        cache = own(cache)
        cache.set_many({"a": 1, "c": 3})
        assert cache.delete_many("a", "b", "c") == ["a", "c"]
        assert cache.get_many("a", "c") == [None, None]

    def test_delete_many_of_what_is_there(self, cache: Any) -> None:
        """Intent: it returns the keys that it deleted."""
        cache.set_many({"a": 1, "b": 2})
        assert cache.delete_many("a", "b") == ["a", "b"]

    def test_unlink(self, cache: Any) -> None:
        """Intent: the keys are gone, and something was."""
        cache.set_many({"a": 1, "b": 2})
        assert cache.unlink("a", "b")
        assert not cache.has("a")

    def test_add_stores_only_once(self, cache: Any) -> None:
        """Intent: a value that is there stays."""
        assert cache.add("k", "first", timeout=60)
        assert not cache.add("k", "second", timeout=60)
        assert cache.get("k") == "first"

    def test_add_is_atomic(self, cache: Any) -> None:
        """Intent: of many that add the same key at once, one succeeds, and its value is there."""
        start, won = threading.Barrier(6), []

        def add(number: int) -> None:
            start.wait()
            if cache.add("k", number):
                won.append(number)

        threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert cache.get("k") == won[0]

    def test_a_timeout_is_in_seconds(self, cache: Any, client: redis.Redis, name: str) -> None:
        """Intent: the key expires by itself, when it was told to."""
        since = now_ms(client)
        cache.set("k", VALUE, timeout=100)
        assert given(client, f"{prefix(name)}k", 100, since)
        cache.add("added", VALUE, timeout=100)
        assert given(client, f"{prefix(name)}added", 100, since)

    def test_no_timeout_is_the_default(self, cache: Any, client: redis.Redis, name: str) -> None:
        """Intent: `None` is the region's own timeout."""
        since = now_ms(client)
        cache.set("k", VALUE)
        assert given(client, f"{prefix(name)}k", cache.default_timeout, since)

    def test_timeout_zero_is_for_ever(self, cache: Any, client: redis.Redis, name: str) -> None:
        """Intent: 0 means no expiry, but in metadata, where the region's timeout is a cap."""
        cache.set("k", VALUE, timeout=0)
        ttl = client.ttl(f"{prefix(name)}k")
        assert 0 < ttl <= 300 if name == Region.METADATA else ttl == -1

    def test_timeout_minus_one_is_not_at_all(self, cache: Any, name: str) -> None:
        """Intent: Superset's CACHE_DISABLED_TIMEOUT; stock stores for ever. A SQL Lab result must arrive, though."""
        cache = own(cache)
        cache.set("k", "old")
        assert cache.set("k", VALUE, timeout=-1) is (name == Region.QUERY_RESULTS)
        assert cache.get("k") == (VALUE if name == Region.QUERY_RESULTS else None)

    def test_counting(self, cache: Any) -> None:
        """Intent: `inc` and `dec` begin at 0 and return the new number; what they make is got like any value."""
        assert cache.inc("n") == 1
        assert cache.inc("n", 5) == 6
        assert cache.dec("n", 2) == 4
        assert cache.dec("m") == -1

    def test_what_was_counted_is_got(self, cache: Any) -> None:
        """Intent: as above; stock's serializer does not read back what INCR made of its pickles."""
        cache = own(cache)
        cache.set("n", 40)
        cache.inc("n", 2)
        assert cache.get("n") == 42

    def test_counting_is_atomic(self, cache: Any) -> None:
        """Intent: no count is lost between processes; here threads, each with a connection of its own."""
        threads = [threading.Thread(target=lambda: [cache.inc("n") for _ in range(10)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cache.inc("n", 0) == 30

    def test_counting_keeps_the_timeout(self, cache: Any, client: redis.Redis, name: str) -> None:
        """Intent: counting is no reason to live longer."""
        cache = own(cache)
        cache.set("n", 1, timeout=100)
        cache.inc("n")
        assert 0 < client.ttl(f"{prefix(name)}n") <= 100

    def test_clear_touches_only_its_own(self, cache: Any, client: redis.Redis, name: str) -> None:
        """Intent: neighbours in the same database stay, also one whose name only looks like a pattern's match."""
        client.set("neighbour", 1)
        client.set(f"x{prefix(name)}k", 1)
        cache.set_many({f"k{n}": n for n in range(50)})
        assert cache.clear()
        kept = [b"chart_~stamps"] if name == Region.CHART_DATA else []  # queries under way need the stamps
        assert sorted(client.keys("*")) == sorted([b"neighbour", f"x{prefix(name)}k".encode(), *kept])

    def test_erase_leaves_nothing(self, cache: Any, client: redis.Redis, name: str) -> None:
        """Intent: whoever uninstalls finds no stamp, lease or memory of keys; neighbours stay. Stock cannot."""
        cache = own(cache)
        client.set("neighbour", 1)
        client.set(f"x{prefix(name)}k", 1)
        with running(Scope(dataset_id=7, database_id=1)):
            cache.get("k")
            cache.set("k", {"query": "SELECT 1"})
        if name == Region.CHART_DATA:  # the one that is stamped
            cache.stamp(["dataset:7"])
        assert client.keys(f"{prefix(name)}*")
        assert cache.erase()
        assert sorted(client.keys("*")) == sorted([b"neighbour", f"x{prefix(name)}k".encode()])

    def test_clearing_nothing_is_no_failure(self, cache: Any) -> None:
        """Intent: stock says False then, and False is what it says of errors too."""
        assert own(cache).clear() is True

    def test_a_stored_none_is_there(self, cache: Any) -> None:
        """Intent: Flask-Caching's `cache_none` asks `has` after a `get` that gave `None`."""
        cache.set("k", None)
        assert cache.get("k") is None
        assert cache.has("k")

    @pytest.mark.parametrize("key", ["~seen", "~s:any", "~", "käse {1} *?[x]", "a" * 3000])
    def test_any_key(self, cache: Any, key: str) -> None:
        """Intent: no cache key collides with our bookkeeping, or is too odd."""
        cache.set(key, VALUE)
        assert cache.get(key) == VALUE
        assert cache.delete(key)
