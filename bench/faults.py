"""What a fault of Redis costs a chart request, and how long until the cache serves again.

Run with `python -m bench.faults`; it starts a stack of its own, or takes the one that TEST_STACK names.
Beside each fault stand the same requests with Redis in order: all are for charts that nobody has
asked for, so that both go to the database.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.reads import region, value
from superset_ext.cache.region import RegionCache
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.charts import dataset_id
from testing.faults import CLIENTS, CONFIG, FAULTS, Load
from testing.serving import Client, web
from testing.stack import READY, RunningStack, Up

OPERATIONS = 500
REQUESTS = 60
PACE = 1.0  # seconds between two requests of a client: a machine at its limit only measures its limit
SETTLED_SECONDS = 1.5  # after which the circuit is open, if it opens at all


@contextmanager
def stack() -> Iterator[RunningStack]:
    """The embedded stack with its examples."""
    if running := os.environ.get("TEST_STACK"):
        yield RunningStack.on(Path(running))
        return
    with tempfile.TemporaryDirectory() as folder:
        up = Up(Path(folder) / "state")
        try:
            up.wait_for(READY)
            yield RunningStack.on(Path(folder) / "state", up)
        finally:
            up.end()


def _median_ms(load: Load, since: float, until: float, *, missed: bool) -> float:
    seconds = [a.seconds for a in load.asked if since <= a.at < until and not (missed and a.cached)]
    return statistics.median(seconds) * 1000 if seconds else float("nan")


def _one(name: str, site: tuple[Valkey, Postgres], clients: list[Client], dataset: int) -> dict[str, Any]:
    """One fault: medians of the requests that went to the database before and during it, and the recovery."""
    load = Load(clients, dataset, PACE)
    with load.running():
        began = time.monotonic()
        load.wait(lambda a: not a.cached, REQUESTS, began)
        broken = time.monotonic()
        with FAULTS[name](*site):
            load.wait(lambda a: not a.cached, REQUESTS, broken + SETTLED_SECONDS)
            mended = time.monotonic()
        recovery = load.wait(lambda a: a.cached, 1, mended)
    before = _median_ms(load, began, broken, missed=True)
    during = _median_ms(load, broken + SETTLED_SECONDS, mended, missed=True)
    return {
        "requests": len(load.asked),
        "not_200": sum(a.status != 200 for a in load.asked),
        "ms_before": round(before, 1),
        "ms_during": round(during, 1),
        "added_ms": round(during - before, 1),
        "recovery_s": None if recovery is None else round(recovery, 2),
    }


def _left_alone(valkey: Valkey) -> dict[str, float]:
    """Milliseconds that the cache takes of a request, a get that misses and a set: Redis in order, circuit open."""
    cache = region(valkey.url)
    times: dict[str, float] = {}
    answer = value(100)
    for state in ("in_order", "open"):
        took = [_once(cache, f"{state}{n}", answer) for n in range(OPERATIONS)]
        times |= {f"{state}_ms": round(statistics.median(took), 3), f"{state}_ms_max": round(max(took), 3)}
        if state == "in_order":
            valkey.kill()
            for n in range(20):
                cache.get(f"opens{n}")
    valkey.start()
    return times


def _once(cache: RegionCache, key: str, answer: Any) -> float:
    started = time.perf_counter()
    cache.get(key)
    cache.set(key, answer)
    return (time.perf_counter() - started) * 1000


def run() -> dict[str, Any]:
    """The figures of each fault, and what the cache takes of a request."""
    with stack() as running, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        valkey, log = Valkey(folder / "valkey").start(), Postgres(folder / "log").start()
        (folder / "config.py").write_text(CONFIG)
        env = dict(running.env) | {
            "SUPERSET_EXT_REDIS_URL": valkey.url,
            "SUPERSET_EXT_LOG_DATABASE_URL": log.create_database("log"),
            "SUPERSET_EXT_READ_TIMEOUT_MS": "50",
        }
        try:
            with web(folder / "config.py", env) as url:
                clients = [Client(url, running.user, running.password) for _ in range(CLIENTS)]
                dataset = dataset_id(clients[0], "birth_names")
                faults = {name: _one(name, (valkey, log), clients, dataset) for name in FAULTS}
            return {"faults": faults, "cache": _left_alone(valkey)}
        finally:
            valkey.stop()
            log.stop()


def main() -> None:
    """Print a table and the JSON."""
    figures = run()
    print(f"{'fault':<16}{'requests':>9}{'not 200':>9}{'ms before':>11}{'ms during':>11}{'added':>8}{'recovery s':>12}")
    for name, row in figures["faults"].items():
        print(
            f"{name:<16}{row['requests']:>9}{row['not_200']:>9}{row['ms_before']:>11}{row['ms_during']:>11}"
            f"{row['added_ms']:>8}{row['recovery_s']!s:>12}"
        )
    cache = figures["cache"]
    print("\na get and a set, ms    median      max")
    for state, words in (("in_order", "Redis in order"), ("open", "circuit open")):
        print(f"{words:<20}{cache[f'{state}_ms']:>9}{cache[f'{state}_ms_max']:>9}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
