"""What becomes of answers when their stamps are lost, and when the server's clock is put forward and back."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import redis
from flask import Flask

from superset_ext.cache import heard as heard_of
from superset_ext.cache import stamps
from superset_ext.cache.chart import ChartCache
from superset_ext.cache.query import running
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Miss, Scope
from superset_ext.freshness.watch import service
from superset_ext.settings import Region
from testing import shifted_clock
from testing.lost_stamps import LOSSES, TAG, ask, nothing_old_is_shown
from testing.regions import chart_region, client_of, heard
from testing.warming import until

HOUR = 3600


@pytest.mark.parametrize("loss", LOSSES)
def test_lost_stamps_never_mean_unchanged(valkey: Valkey, loss: str) -> None:
    """Intent: invariant 3 holds where Redis loses what it was told, by eviction, deletion, FLUSHDB, foreign values."""
    client_of(valkey.url).flushdb()
    nothing_old_is_shown(chart_region(valkey.url), LOSSES[loss])


@pytest.mark.parametrize("policy", ["allkeys-random", "allkeys-lru", "allkeys-lfu"])
def test_a_server_that_evicts_stamps(fresh_valkey: Callable[..., Valkey], policy: str) -> None:
    """Intent: under pressure of memory a told change is not forgotten, whichever keys the server takes."""
    server = fresh_valkey(args=["--maxmemory-policy", policy])
    cache, client = chart_region(server.url), client_of(server.url)

    def evict(_: ChartCache) -> None:
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.OutOfMemoryError):
            client.set("other", 1)  # once all else is evicted
        assert not client.keys()
        client.config_set("maxmemory", 0)

    nothing_old_is_shown(cache, evict)


@pytest.mark.skipif(not shutil.which("localedef"), reason="no locale can be made here")
def test_a_server_in_a_locale_of_its_own(
    fresh_valkey: Callable[..., Valkey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: Lua orders strings by the server's locale, its unit's LANG; what was read later replaces all the same."""
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "UTF-8", str(tmp_path / "en_US.UTF-8")], capture_output=True, check=False
    )
    if made.returncode > 1:  # 1 is a warning
        pytest.skip("the sources of locales are not here")
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    server = fresh_valkey()
    assert client_of(server.url).eval("return 'a' < 'B' and 1 or 0", 0) == 1
    cache = chart_region(server.url)
    for number in range(30):
        assert ask(cache, f"v{number}") == f"v{number}"
        assert ask(cache, "not asked") == f"v{number}"
        cache.stamp([TAG])


def test_stamps_are_bounded(valkey: Valkey) -> None:
    """Intent: invariant 9: tags without end take no memory without end, and what is begun anew drops all."""
    client = client_of(valkey.url)
    client.flushdb()
    cache = chart_region(valkey.url)
    with patch.object(stamps, "MOST", 50):
        assert ask(cache, "old") == "old"
        cache.stamp([TAG])
        for number in range(200):
            cache.stamp([f"table:1:public.t{number}", "any"])
            assert client.hlen("chart_~stamps") <= 53
    assert ask(cache, "new") == "new"


def test_a_thousand_tags_at_once(valkey: Valkey) -> None:
    """Intent: a change of many tables, and an entry that carries many tags: a script's stack is bounded."""
    client_of(valkey.url).flushdb()
    cache = chart_region(valkey.url)
    tags = [f"t:{number}" for number in range(5500)]
    cache.stamp(tags)
    with running(Scope(dataset_id=7, database_id=1)) as query:
        assert cache.get("k") is None
        query.tags.update(tags)
        assert cache.set("k", {"query": "SELECT 1", "value": "old"})
    assert ask(cache, "not asked") == "old"
    cache.stamp([tags[-1]])
    assert ask(cache, "new") == "new"


@pytest.fixture
def shifted(tmp_path: Path) -> Iterator[tuple[Valkey, Callable[[int], None]]]:
    if not shifted_clock.can_shift():
        pytest.skip("no C compiler to make a clock that can be put forward")
    server, shift = shifted_clock.start(tmp_path)
    yield server, shift
    server.stop()


def test_a_clock_put_forward_and_back(shifted: tuple[Valkey, Callable[[int], None]]) -> None:
    """Intent: what was stored while the clock was wrong is replaced at once, and no change told since is forgotten when
    the clock comes by that time again.
    """
    server, shift = shifted
    cache, client = chart_region(server.url), client_of(server.url)
    before = client.time()[0]
    shift(HOUR)
    assert client.time()[0] - before >= HOUR
    assert (ask(cache, "v1"), ask(cache, "not asked")) == ("v1", "v1")
    kept = client.get("chart_k")
    shift(0)
    with heard() as events:
        assert ask(cache, "v2") == "v2"
    assert events[-1].result is Miss.INVALIDATED
    assert ask(cache, "not asked") == "v2", "the entry from the future was replaced"
    cache.stamp([TAG])
    assert ask(cache, "v3") == "v3"
    client.set("chart_k", kept or b"")
    shift(HOUR + 60)
    assert ask(cache, "v4") == "v4", "an answer from before the change, whose time has come"


def test_a_change_told_while_the_clock_was_ahead(shifted: tuple[Valkey, Callable[[int], None]]) -> None:
    """Intent: a stamp from the future drops what was read before it, and nothing that is read after it."""
    server, shift = shifted
    cache = chart_region(server.url)
    assert ask(cache, "v1") == "v1"
    shift(HOUR)
    cache.stamp([TAG])
    shift(0)
    assert (ask(cache, "v2"), ask(cache, "not asked")) == ("v2", "v2")
    cache.stamp([TAG])
    assert (ask(cache, "v3"), ask(cache, "not asked")) == ("v3", "v3")


def test_an_owner_from_before_the_clock_was_set_back(shifted: tuple[Valkey, Callable[[int], None]]) -> None:
    """Intent: the lease of one who died then, which Redis keeps for an hour more, makes nobody wait."""
    server, shift = shifted
    cache = chart_region(server.url, wait_seconds=60)
    shift(HOUR)
    with running(Scope(dataset_id=7, database_id=1)) as query:
        assert cache.get("k") is None
        (lease,) = query.leases.values()
        lease.is_over = True  # as of a process that died
        cache._flights._leases.clear()
    shift(0)
    until(lambda: cache._flights._live)
    with patch.object(type(cache._flights), "wait", side_effect=AssertionError("it waited")):
        assert ask(cache, "v1") == "v1"


def look(cache: ChartCache) -> None:
    """Let the next read be one that looks whether listeners are heard."""
    cache._store._look_at = 0.0


class TestListeners:
    """A watched table is trusted for as long as somebody is heard who listens."""

    @pytest.fixture
    def cache(self, valkey: Valkey) -> ChartCache:
        client_of(valkey.url).flushdb()
        return chart_region(valkey.url)

    def test_while_one_is_heard_answers_are_kept(self, cache: ChartCache) -> None:
        """Intent: a beat costs no answer, nor does a database that nobody watches."""
        assert ask(cache, "old") == "old"
        cache.beat(1, ["tables:1", TAG])
        look(cache)
        assert ask(cache, "not asked") == "old"
        assert 0 <= cache.listeners()[1] < 60

    def test_after_its_patience_the_database_is_asked(self, cache: ChartCache, monkeypatch: pytest.MonkeyPatch) -> None:
        """Intent: a listener that was killed tells of nothing, so what it would tell of is not trusted; all else is."""
        with running(Scope(dataset_id=8, database_id=2)):
            cache.get("other")
            cache.set("other", {"query": "SELECT 1", "value": "kept"})
        assert ask(cache, "old") == "old"
        with monkeypatch.context() as killed:
            killed.setattr(heard_of, "PATIENCE", -1.0)
            cache.beat(1, ["tables:1"])
        for value in ("v1", "v2", "v3"):  # each later than a second after the one before, as far as the region knows
            cache._store.ask([(b"", ("UNLINK", b"chart_~heard:1:told"))])
            look(cache)
            assert ask(cache, value) == value
        assert ask(cache, "not asked") == "v3", "within a second, and without another look"
        assert cache.get("other")["value"] == "kept"
        cache.beat(1, ["tables:1"])
        look(cache)
        assert ask(cache, "not asked") == "v3"

    def test_what_cannot_be_stamped_is_not_trusted(
        self, fresh_valkey: Callable[..., Valkey], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: while the server refuses to note what is not trusted any more, every read goes to the database, and
        not only the one that has looked."""
        server = fresh_valkey()
        cache, client = chart_region(server.url), client_of(server.url)
        assert ask(cache, "old") == "old"
        with monkeypatch.context() as killed:
            killed.setattr(heard_of, "PATIENCE", -1.0)
            cache.beat(1, ["tables:1"])
        client.execute_command("ACL", "SETUSER", "default", "-@write", "+evalsha")
        look(cache)
        for value in ("v1", "v2", "v3"):
            assert ask(cache, value) == value
        client.execute_command("ACL", "SETUSER", "default", "+@all")
        assert ask(cache, "stored again") == "stored again"
        assert ask(cache, "not asked") == "stored again"

    def test_what_is_not_watched_any_more_is_trusted(self, cache: ChartCache, monkeypatch: pytest.MonkeyPatch) -> None:
        """Intent: `watch remove` works without a listener."""
        with monkeypatch.context() as killed:
            killed.setattr(heard_of, "PATIENCE", -1.0)
            cache.beat(1, ["tables:1"])
        cache.beat(1, [], hears=False)
        assert ask(cache, "old") == "old"
        look(cache)
        assert ask(cache, "not asked") == "old"
        assert cache.listeners() == {}

    def test_a_watch_that_was_removed_while_redis_was_away(
        self, cache: ChartCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: what `watch remove` could not say, a listener to anything else does."""
        cache.beat(1, ["tables:1"])
        cache.beat(2, ["tables:2"])
        monkeypatch.setattr(service, "regions", lambda _app: {Region.CHART_DATA: cache})
        service._retire(Flask("app"), {2})
        assert list(cache.listeners()) == [2]

    @pytest.mark.parametrize("value", ["soon", "", "9" * 40, "9" * 16, "-1"])
    def test_a_word_that_is_none_is_not_believed(self, cache: ChartCache, valkey: Valkey, value: str) -> None:
        """Intent: what somebody else wrote means that nobody is heard."""
        cache.beat(1, ["tables:1"])
        client_of(valkey.url).hset("chart_~heard", "1", value)
        assert ask(cache, "old") == "old"
        client_of(valkey.url).delete("chart_~heard:1:told")
        look(cache)
        assert ask(cache, "new") == "new"

    def test_a_look_is_no_round_trip(self, fresh_valkey: Callable[..., Valkey]) -> None:
        """Intent: it travels with a read, once a second."""
        server = fresh_valkey()
        cache, client = chart_region(server.url), client_of(server.url)
        cache.beat(1, ["tables:1"])
        ask(cache, "old")
        until(lambda: cache._flights._live)  # those who wait for a lease listen from then on, and say nothing
        before = int(client.info("stats")["total_reads_processed"])
        look(cache)
        assert cache.get("k")["value"] == "old"
        assert int(client.info("stats")["total_reads_processed"]) - before == 2  # with the question itself
