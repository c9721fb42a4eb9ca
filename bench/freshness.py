"""What freshness costs: a change over 100,000 entries, and a hit that is checked beside a plain GET.

Run with `python -m bench.freshness`; it starts a Valkey of its own.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.query import running
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Scope
from superset_ext.freshness.change import Change, Freshness, SourceTable
from superset_ext.settings import load
from superset_ext.sqltables.table import Table

ENTRIES, ROUNDS = 100_000, 300
SIZES = (1_000, 20_000, 200_000)  # bytes of an entry, which does not compress
SOURCE = SimpleNamespace(database=SimpleNamespace(db_engine_spec=SimpleNamespace(engine="postgresql")))
CHANGE = Change("cli", "data_update", tables=(SourceTable(1, Table("public", "orders")),))


def main() -> None:
    """Print both as tables and as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        server = Valkey(Path(folder)).start()
        try:
            cache = region(server.url)
            result = {"changed": changes(cache), "checked": [checked(cache, size) for size in SIZES]}
        finally:
            server.stop()
    print(json.dumps({"freshness": result}))


def region(url: str) -> ChartCache:
    cache = ChartCache(settings=load({"SUPERSET_EXT_REDIS_URL": url, "SUPERSET_EXT_BROKER_URL": "memory://"}))
    cache.bind(SimpleNamespace(config={"SECRET_KEY": "bench"}))
    return cache


def store(cache: ChartCache, keys: list[str], payload: str) -> None:
    """Entries of one table, as a chart stores them."""
    with running(Scope(dataset_id=1, database_id=1), SOURCE):
        cache.get_many(*keys)
        cache.set_many({key: {"query": "SELECT * FROM public.orders", "payload": payload} for key in keys})


def changes(cache: ChartCache) -> dict[str, float]:
    """Milliseconds of `changed`, with no entries of the table and with many, in turns with a plain SET."""
    freshness = Freshness(lambda: cache, lambda _database, tables: tables, None)
    store(cache, ["warm"], "x")
    few = median(lambda: freshness.changed(CHANGE), 200)
    store(cache, ["one"], "x")
    one = cache._store.read(cache._store.name("one"))[0].data or b""
    for start in range(0, ENTRIES, 1000):
        cache._store.write({cache._store.name(f"many{n}"): one for n in range(start, start + 1000)}, 900_000)
    assert cache.get("one") is not None
    many = median(lambda: freshness.changed(CHANGE), 200)
    assert cache.get("one") is None
    print(f"changed: {few:.3f} ms with 1 entry, {many:.3f} ms with {ENTRIES:,} (ratio {many / few:.2f})", flush=True)
    return {"one_entry_ms": few, "entries": ENTRIES, "many_entries_ms": many}


def checked(cache: ChartCache, size: int) -> dict[str, float]:
    """Microseconds of a read with its stamps and of a plain GET of the same bytes, in turns over the same pool."""
    key = f"sized{size}"
    store(cache, [key], random.Random(1).randbytes(size).hex())
    reads, name = cache._store, cache._store.name(key)
    plain = [(name.encode(), ("GET", name.encode()))]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: reads.read(name)))
        theirs.append(seconds(lambda: reads.ask(plain)))
    us, raw = statistics.median(ours) * 1e6, statistics.median(theirs) * 1e6
    stored = len(reads.read(name)[0].data or b"")
    print(f"{stored:>8,} bytes: plain GET {raw:6.0f} µs, checked {us:6.0f} µs, extra {us - raw:4.0f} µs", flush=True)
    return {"bytes": stored, "plain_us": raw, "checked_us": us, "extra_us": us - raw}


def seconds(verb: Callable[[], Any]) -> float:
    started = time.perf_counter()
    verb()
    return time.perf_counter() - started


def median(verb: Callable[[], Any], rounds: int) -> float:
    return statistics.median(seconds(verb) for _ in range(rounds)) * 1000


if __name__ == "__main__":
    main()
