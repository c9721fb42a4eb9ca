"""What a judged read costs beside stock's: round trips, and microseconds for the same chart.

Run with `python -m bench.reads`. Both backends are asked for the same values on one server, in turn.
Round trips are counted on the wire: a proxy between the cache and the server counts how often the
direction of talk turns.
"""

from __future__ import annotations

import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from flask_caching.backends.rediscache import RedisCache

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.query import running
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Scope
from superset_ext.settings import load

ROWS = (10, 1_000, 20_000)
ROUNDS = 200
CONNECTING_SECONDS = 1.0  # in which a connection of its own listens, and says nothing from then on


def value(rows: int) -> dict[str, Any]:
    """A chart's value, as Superset hands it to the cache."""
    numbers = np.random.default_rng(rows)
    frame = pd.DataFrame(
        {
            "name": numbers.choice(["Aaron", "Bea", "Carl", "Dora", "Emil"], rows),
            "sum__num": numbers.integers(0, 10_000, rows),
            "share": numbers.random(rows),
        }
    )
    return {
        "df": frame, "query": "SELECT name, SUM(num) FROM birth_names GROUP BY name", "annotation_data": {},
        "applied_template_filters": [], "applied_filter_columns": [], "rejected_filter_columns": [],
        "sql_rowcount": rows, "queried_dttm": "2026-11-21T00:00:00+00:00", "dttm": "2026-11-21T00:00:00",
    }  # fmt: skip


def region(url: str) -> ChartCache:
    """The chart region as an app would have it."""
    cache = ChartCache(settings=load({"SUPERSET_EXT_CHART_DATA_URL": f"{url}/3"}))
    cache.bind(SimpleNamespace(config={"SECRET_KEY": "a key for the bench"}))
    return cache


def stock(url: str) -> RedisCache:
    """Flask-Caching's backend, as Superset's documentation sets it up."""
    config = {"CACHE_REDIS_URL": f"{url}/4", "CACHE_KEY_PREFIX": "stock_", "CACHE_REDIS_DB": 4}
    return RedisCache.factory(None, config, [], {})  # type: ignore[no-untyped-call,no-any-return]


class Turns:
    """A proxy on loopback that counts how often a request follows an answer: round trips."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self.count = 0
        self._last = ""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                for pair in ((client, server, "asks"), (server, client, "answers")):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, who: str) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                if who == "asks" and self._last != "asks":
                    self.count += 1
                self._last = who
                target.sendall(data)
        target.close()

    def close(self) -> None:
        self._listener.close()


def round_trips(port: int, make: Callable[[str], Any], wanted: dict[str, Any]) -> dict[str, int]:
    """Round trips of a hit, and of a whole miss with its set, once connected, within a chart query."""
    turns = Turns(port)
    cache = make(turns.url)

    def missed(key: str) -> None:
        cache.get(key)
        cache.set(key, wanted)

    trips = {}
    with running(Scope(dataset_id=1, database_id=1)):
        missed("warm")  # which connects, and listens for the ends of leases
        time.sleep(CONNECTING_SECONDS)
        for name, verb in (("hit", partial(cache.get, "warm")), ("miss", partial(missed, "absent"))):
            turns.count = 0
            verb()
            trips[name] = turns.count
    turns.close()
    return trips


def _timed(read: Callable[[], Any]) -> float:
    started = time.perf_counter()
    read()
    return (time.perf_counter() - started) * 1e6


@contextmanager
def server() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder)).start()
        try:
            yield valkey
        finally:
            valkey.stop()


def run() -> dict[str, Any]:
    """Round trips, and median microseconds of a hit by rows: ours, stock's, and the ratio."""
    with server() as valkey:
        ours, theirs = region(valkey.url), stock(valkey.url)
        times = {}
        for rows in ROWS:
            for cache in (ours, theirs):
                cache.set(f"chart{rows}", value(rows), timeout=600)
            reads = [partial(cache.get, f"chart{rows}") for cache in (ours, theirs)]
            pairs = [[_timed(read) for read in reads] for _ in range(ROUNDS)]
            mine, his = (statistics.median(column) for column in zip(*pairs, strict=True))
            times[str(rows)] = {"ours_us": round(mine), "stock_us": round(his), "ratio": round(mine / his, 2)}
        trips = {
            "ours": round_trips(valkey.port, region, value(10)),
            "stock": round_trips(valkey.port, stock, value(10)),
        }
    return {"round_trips": trips, "hit": times}


def main() -> None:
    """Print a table and the JSON."""
    figures = run()
    print(f"{'round trips':<14}{'hit':>6}{'miss':>6}")
    for name, trips in figures["round_trips"].items():
        print(f"{name:<14}{trips['hit']:>6}{trips['miss']:>6}")
    print(f"{'hit, rows':<14}{'ours µs':>9}{'stock µs':>10}{'ratio':>7}")
    for rows, row in figures["hit"].items():
        print(f"{rows:<14}{row['ours_us']:>9}{row['stock_us']:>10}{row['ratio']:>7}")
    print(json.dumps({"reads": figures}))


if __name__ == "__main__":
    main()
