"""What a read finds, why it finds nothing, and what it leaves behind for the set that follows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pandas as pd
import pytest
import redis
from flask import Flask

from superset_ext.cache import sent
from superset_ext.cache.chart import ChartCache
from superset_ext.cache.entries import Lifetime
from superset_ext.cache.envelope import TAGS_AT, unpack
from superset_ext.cache.keyring import KeyRing
from superset_ext.cache.query import Read, remember, running
from superset_ext.cache.stamps import Health
from superset_ext.cache.store import digest_of
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Miss, Scope, Stored
from superset_ext.settings import Region
from testing.regions import SECRET, client_of, heard, make_region
from testing.warming import until

CHART = {"df": pd.DataFrame({"a": [1, 2]}), "query": "SELECT a FROM t"}


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    connection = client_of(valkey.url)
    connection.flushdb()
    yield connection
    connection.close()


@pytest.fixture
def cache(valkey: Valkey, client: redis.Redis) -> ChartCache:
    return make_region(valkey.url)


def why(cache: ChartCache, key: str = "k") -> Miss | None:
    """The result of a get: `None` for a hit."""
    with heard() as events:
        value = cache.get(key)
    assert len(events) == 1
    assert (value is None) is (events[0].result is not None)
    return events[0].result  # type: ignore[return-value]


def server_time(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return seconds * 1_000_000 + micros


def stamp(cache: ChartCache, tag: str) -> None:
    """What a change does."""
    cache.stamp([tag])


def store(cache: ChartCache, key: str = "k", dataset_id: int | None = 7) -> None:
    """A get that misses and the set that follows, as Superset does it."""
    with running(Scope(dataset_id=dataset_id, database_id=1)):
        cache.get(key)
        assert cache.set(key, CHART)


class TestReasons:
    """Each miss has the right name."""

    def test_cold_then_hit(self, cache: ChartCache) -> None:
        """Intent: nobody ever stored it; then it is there."""
        assert why(cache) is Miss.COLD
        store(cache)
        assert why(cache) is None

    def test_expired(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: gone after its deadline."""
        cache.set("k", CHART, timeout=0.02)
        while client.exists("chart_k"):
            time.sleep(0.005)
        assert why(cache) is Miss.EXPIRED

    def test_evicted(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: gone before its deadline, by no deletion of ours."""
        store(cache)
        client.delete("chart_k")
        assert why(cache) is Miss.EVICTED

    def test_what_lives_for_ever_can_be_evicted_too(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: no timeout is a deadline that never comes."""
        cache.set("k", CHART, timeout=0)
        client.delete("chart_k")
        assert why(cache) is Miss.EVICTED

    def test_deleted_is_cold(self, cache: ChartCache) -> None:
        """Intent: whoever deletes knows what they did."""
        store(cache)
        cache.delete("k")
        assert why(cache) is Miss.COLD

    def test_cleared_is_cold(self, cache: ChartCache) -> None:
        """Intent: as above."""
        store(cache)
        cache.clear()
        assert why(cache) is Miss.COLD

    @pytest.mark.parametrize("junk", [b"", b"x", b"!" + b"\x80" * 200, b"SXC\x63" + b"\0" * 200])
    def test_unknown_format(self, cache: ChartCache, client: redis.Redis, junk: bytes) -> None:
        """Intent: what another version or program wrote is a miss, and a set mends it."""
        client.set("chart_k", junk)
        assert why(cache) is Miss.UNKNOWN_FORMAT
        store(cache)
        assert why(cache) is None

    def test_a_key_of_another_type(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: a list under our key holds no entry, and a set mends it."""
        client.rpush("chart_k", 1)
        assert why(cache) is Miss.COLD
        store(cache)
        assert why(cache) is None

    def test_bad_signature(
        self, cache: ChartCache, client: redis.Redis, valkey: Valkey, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Intent: copied, changed, or signed with another key: a miss, and one warning without any content."""
        store(cache)
        client.copy("chart_k", "chart_other")
        with caplog.at_level(logging.WARNING):
            assert why(cache, "other") is Miss.BAD_SIGNATURE
            entry = bytearray(client.get("chart_k") or b"")
            entry[TAGS_AT] ^= 1
            client.set("chart_k", bytes(entry))
            assert why(cache) is Miss.BAD_SIGNATURE
            store(cache)
            assert why(make_region(valkey.url, secret="another")) is Miss.BAD_SIGNATURE
        messages = [record.getMessage() for record in caplog.records if "not signed" in record.getMessage()]
        assert len(messages) <= 1
        assert "chart_k" not in caplog.text

    def test_rotation_keeps_entries(self, cache: ChartCache, valkey: Valkey) -> None:
        """Intent: PREVIOUS_SECRET_KEY."""
        store(cache)
        assert why(make_region(valkey.url, secret="new", previous=SECRET)) is None

    def test_the_memory_of_keys_is_bounded(self, valkey: Valkey, client: redis.Redis) -> None:
        """Intent: whose deadline is first is forgotten first, and counts as cold."""
        cache = make_region(valkey.url, key_memory=10)
        for number in range(30):
            cache.set(f"k{number}", number, timeout=100 + number)
        assert client.zcard("chart_~seen") == 10
        client.delete("chart_k0", "chart_k29")
        assert why(cache, "k0") is Miss.COLD
        assert why(cache, "k29") is Miss.EVICTED

    def test_no_memory_at_all(self, valkey: Valkey, client: redis.Redis) -> None:
        """Intent: key_memory 0 writes nothing beside the entries but the era of their stamps."""
        cache = make_region(valkey.url, key_memory=0)
        cache.set("k", 1)
        cache.add("l", 1)
        assert sorted(client.keys()) == [b"chart_k", b"chart_l", b"chart_~stamps"]


class TestStamps:
    """Invariant 3, as far as reading goes."""

    def test_a_later_stamp_invalidates(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: the change came after the read."""
        store(cache)
        stamp(cache, "dataset:7")
        assert why(cache) is Miss.INVALIDATED
        assert not cache.has("k")
        assert cache.get_many("k") == [None]
        assert cache.add("k", CHART)

    def test_an_earlier_stamp_does_not(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: only what changed: the read saw that change, and other tags do not concern it."""
        stamp(cache, "dataset:7")
        store(cache)
        stamp(cache, "dataset:8")
        stamp(cache, "any")
        assert why(cache) is None

    def test_a_change_while_the_query_runs(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: as of when the read began, not when it was stored."""
        with running(Scope(dataset_id=7)):
            cache.get("k")
            stamp(cache, "dataset:7")
            assert cache.set("k", CHART)
        assert why(cache) is Miss.INVALIDATED

    def test_a_forced_read_takes_the_time(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: it finds nothing, whatever is there, and what follows is as of now, not of nobody knows when."""
        store(cache)
        stamp(cache, "dataset:7")
        with heard() as events, running(Scope(dataset_id=7, forced=True)):
            assert cache.get("k") is None
            cache.set("k", CHART)
        assert [event.result for event in events] == [Stored.STORED, Miss.FORCED]
        assert events[1].size == 0  # no bytes were fetched in vain
        assert why(cache) is None

    def test_forcing_concerns_charts_alone(self, valkey: Valkey) -> None:
        """Intent: stock's `force` does not reach other caches either."""
        cache = make_region(valkey.url, Region.METADATA)
        cache.set("k", 1)
        with running(Scope(forced=True)):
            assert cache.get("k") == 1

    def test_stored_without_a_read_is_as_of_the_set(self, cache: ChartCache) -> None:
        """Intent: third parties set without a get; what changed before concerns them not, what changes after does."""
        stamp(cache, "any")
        assert cache.set("unread", 1)
        assert why(cache, "unread") is None
        stamp(cache, "any")
        assert why(cache, "unread") is Miss.INVALIDATED
        assert cache.add("unread", 2)
        assert cache.get("unread") == 2

    def test_stored_without_a_read_is_as_of_its_sql(self, cache: ChartCache) -> None:
        """Intent: what changed while the rows were on their way makes them old, whoever stores them."""
        with Flask(__name__).app_context():
            sent.note("SELECT 1")
            stamp(cache, "any")
            assert cache.set("unread", 1)
            assert why(cache, "unread") is Miss.INVALIDATED
            sent.note("SELECT 2")
            assert cache.set("unread", 2)
            assert why(cache, "unread") is None

    def test_stored_without_a_read_within_a_query_is_as_of_its_begin(self, cache: ChartCache) -> None:
        """Intent: where a seam has stepped aside, a forced query sets without a get; its SQL ran before that."""
        with running(Scope()):
            stamp(cache, "any")
            cache.set("unread", 1)
        assert why(cache, "unread") is Miss.INVALIDATED

    @pytest.mark.parametrize(
        "value", ["soon", "", "-", "1 2", f"{7:05000}", "1.5", "17", "9" * 16, "8" * 16], ids=range(9)
    )
    def test_a_bad_stamp_is_counted_and_replaced(self, cache: ChartCache, client: redis.Redis, value: str) -> None:
        """Intent: what somebody else wrote makes an entry stale once, and not every entry that follows."""
        stamp(cache, "dataset:7")
        store(cache)
        client.hset("chart_~stamps", "dataset:7", value)
        assert why(cache) is Miss.INVALIDATED
        assert cache.stamps_health().bad == 0 and cache.stamps_health().replaced >= 1
        store(cache)
        assert why(cache) is None

    @pytest.mark.parametrize("value", ["soon", "", f"{7:05000}", "9" * 16], ids=range(4))
    def test_a_change_replaces_a_bad_stamp(self, cache: ChartCache, client: redis.Redis, value: str) -> None:
        """Intent: the stamp of a change does not look at what lies in its place."""
        stamp(cache, "dataset:7")
        client.hset("chart_~stamps", "dataset:7", value)
        assert cache.stamps_health().bad == 1
        stamp(cache, "dataset:7")
        store(cache)
        assert why(cache) is None
        assert cache.stamps_health() == Health(1, 0, 0)

    def test_bookkeeping_that_somebody_else_wrote(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: whoever can write to Redis can hide entries, and cannot break a request."""
        client.zadd("chart_~seen", {digest_of(b"chart_k"): float("inf")})
        assert why(cache) is Miss.EVICTED
        client.delete("chart_~seen")
        client.rpush("chart_~seen", 1)
        assert why(cache) is Miss.ERROR
        client.delete("chart_~seen")
        store(cache)
        client.delete("chart_~stamps")
        client.rpush("chart_~stamps", 1)
        assert why(cache) is Miss.EVICTED

    def test_a_clock_set_back(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: an entry from the future could not be told from one that a stamp made stale."""
        with running(Scope(dataset_id=7)):
            clock = cache._store.clock()
            read = Read(server_time(client) + 3_600_000_000, time.perf_counter(), clock.run_id)
            remember("chart_data", "k", read, cache._store.server_clock)
            cache.set("k", CHART)
        assert why(cache) is Miss.INVALIDATED

    @pytest.mark.parametrize("count", [1, 5, 6, 7, 40])
    def test_each_of_many_tags_is_looked_at(self, cache: ChartCache, client: redis.Redis, count: int) -> None:
        """Intent: however long the block of tags is; the script reads the first ones together with the header."""
        tags = tuple(f"t:1:public.a_table_with_a_long_name_{number:02}" for number in range(count))
        for tag in tags:
            clock = cache._store.clock()
            read = Read(clock.time_us, time.perf_counter(), clock.run_id, clock.last_stamp)
            data = cache._entries.pack("chart_k", CHART, read, Lifetime(900_000, tags=tags))
            cache._store.write({cache._store.name("k"): data}, 900_000)
            assert why(cache) is None
            stamp(cache, tag)
            assert why(cache) is Miss.INVALIDATED

    def test_clear_keeps_stamps(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: a query that began before the change may still be running."""
        stamp(cache, "dataset:7")
        cache.clear()
        assert client.hexists("chart_~stamps", "dataset:7")

    def test_replaced_between_the_halves_of_a_read(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: the bytes of one entry are never judged by the stamps of another.

        The script sees an entry of a dataset without a stamp, the GET one of a stamped dataset.
        """
        stamp(cache, "dataset:8")
        store(cache, dataset_id=7)
        fresh_entry = client.get("chart_k")
        client.delete("chart_k")  # which nothing that was read earlier would replace
        with running(Scope(dataset_id=8, database_id=1)):
            remember(
                "chart_data", "k", Read(1, time.perf_counter(), cache._store.last_run_id()), cache._store.server_clock
            )
            cache.set("k", {"query": "stale"})
        stale_entry = client.get("chart_k")
        store_of = cache._store
        ask, swaps = store_of.topology.ask, [0]

        def between(commands, deadline, weigh=False):  # type: ignore[no-untyped-def]
            if len(commands) != 2:
                return ask(commands, deadline, weigh)
            client.set("chart_k", fresh_entry)
            first = ask(commands[:1], deadline)
            client.set("chart_k", stale_entry)
            second = ask(commands[1:], deadline)
            swaps[0] += 1
            return type(first)([*first.replies, *second.replies], first.run_id)

        store_of.topology.ask = between  # type: ignore[method-assign]
        assert cache.get("k") is None
        assert swaps == [1]

    def test_the_scripts_offsets_are_the_envelopes(self, cache: ChartCache, client: redis.Redis) -> None:
        """Intent: read.lua and envelope.py count alike."""
        store(cache)
        reading = cache._store.read("chart_k")[0]
        envelope, _ = unpack(reading.data or b"", key="chart_k", ring=KeyRing(SECRET), max_decoded=1 << 20)
        assert envelope.tags == ("all", "database:1", "dataset:7", "tables:1")
        assert reading.stamps == (None,) * 4
        assert abs(envelope.stored_at_us - reading.time_us) < 120_000_000  # and it is fresh for 900 s
        assert 0 < envelope.as_of_us <= reading.time_us


class TestCounts:
    """What is reported, and what it costs."""

    def test_a_read_is_one_round_trip(self, fresh_valkey: Callable[..., Valkey]) -> None:
        """Intent: the server reads from its sockets once for a get, for ten of them, and for a set. A chart's miss
        asks once more, for the lease, which goes back with the answer: a whole miss is three, a hit is one. A set that
        no get came before asks what the last stamp is.
        """
        server = fresh_valkey()  # which nobody else reads from
        cache, client = make_region(server.url), client_of(server.url)
        for key in ("k", "l"):
            store(cache, key)
        until(lambda: cache._flights._live)  # those who wait listen from then on, and say nothing

        def trips(action) -> int:  # type: ignore[no-untyped-def]
            def reads() -> int:
                return int(client.info("stats")["total_reads_processed"])

            before = reads()
            action()
            return reads() - before - 1  # its own

        assert trips(lambda: cache.get("k")) == 1
        assert trips(lambda: cache.get("absent")) == 1
        assert trips(lambda: cache.get_many("k", "l", *map(str, range(8)))) == 1
        assert trips(lambda: cache.set("absent", CHART)) == 1  # which was asked for above
        assert trips(lambda: cache.set("unread", CHART)) == 2
        with running(Scope(dataset_id=7)):
            assert trips(lambda: cache.get("l")) == 1
            assert trips(lambda: cache.get("cold")) == 2
            assert trips(lambda: cache.set("cold", CHART)) == 1
        assert not client.keys("chart_~l:*")  # nor is there anything to give back later
        with running(Scope(forced=True)):
            assert trips(lambda: cache.get("k")) == 2

    def test_what_an_answer_had_cost(self, cache: ChartCache) -> None:
        """Intent: a set knows how long it took since its get, and a later hit saves that."""
        with heard() as events:
            cache.get("k")
            begun = time.perf_counter()
            while time.perf_counter() - begun < 0.02:
                pass
            cache.set("k", CHART)
            set_at = time.perf_counter()
            cache.get("k")
            got_at = time.perf_counter()
        miss, stored, hit = events
        assert (miss.result, stored.result, hit.result) == (Miss.COLD, Stored.STORED, None)
        assert stored.ms >= 20
        assert 20 <= hit.saved_ms <= stored.ms
        assert hit.size == stored.size > 0
        assert 0 < hit.ms <= (got_at - set_at) * 1000

    def test_server_info(self, cache: ChartCache) -> None:
        """Intent: what the sampler asks for."""
        info = cache.server_info()
        assert info is not None
        assert info.used_memory > 0
        assert (info.maxmemory, info.policy, info.evicted_keys) == (0, "noeviction", 0)
