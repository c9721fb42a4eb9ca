"""What a region has to do when its stamps are gone: the same for every kind of server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.query import running
from superset_ext.events import Miss, Scope, Stored
from testing.regions import heard

TAG = "dataset:7"
Loss = Callable[[ChartCache], None]


def _asks(*command: str) -> Loss:
    """A loss by one command, whose word `STAMPS` stands for the key of the stamps."""

    def lose(cache: ChartCache) -> None:
        key = cache._store.names.stamps
        cache._store.ask([(key, tuple(key if word == "STAMPS" else word for word in command))])

    return lose


def _everything(cache: ChartCache) -> None:
    store = cache._store
    for node in store.topology.primaries(store.deadline()):
        node.ask([(b"", ("FLUSHDB",))], store.deadline())


LOSSES: Mapping[str, Loss] = {
    "evicted": _asks("DEL", "STAMPS"),
    "one of them deleted": _asks("HDEL", "STAMPS", TAG),
    "their era deleted": _asks("HDEL", "STAMPS", "~"),
    "another value": _asks("SET", "STAMPS", "x"),
    "another era": _asks("HSET", "STAMPS", "~", "nonsense"),
    "flushed": _everything,
}


def ask(cache: ChartCache, value: str) -> str:
    """What Superset does: get, and where there is nothing run the query, which answers `value`, and set."""
    with running(Scope(dataset_id=7, database_id=1)):
        known = cache.get("k")
        if known is None:
            cache.set("k", {"query": "SELECT 1", "value": value})
            return value
        return str(known["value"])


def nothing_old_is_shown(cache: ChartCache, lose: Loss) -> None:
    """A change is told, then all trace of it is lost, with an entry stored before it and a query under way."""
    cache.stamp([TAG])
    assert (ask(cache, "old"), ask(cache, "not asked")) == ("old", "old")
    entry = cache._store.read("chart_k")[0].data
    assert entry is not None
    with running(Scope(dataset_id=7, database_id=1, forced=True)):
        assert cache.get("k") is None  # a query that begins before the change
        cache.stamp([TAG])
        lose(cache)
        cache._store.write({"chart_k": entry}, 60_000)  # whatever was lost with the stamps, the entry was not
        assert not cache.has("k")
        cache.set("k", {"query": "SELECT 1", "value": "old"})
    with heard() as events:
        assert ask(cache, "new") == "new"
    assert [event.result for event in events] == [Stored.STORED, Miss.EVICTED]
    assert ask(cache, "not asked") == "new"
    cache.stamp([TAG])
    assert ask(cache, "newer") == "newer"
