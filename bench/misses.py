"""What a chart's miss takes with connections that are kept, with a new one each time, and with stock's cache as well.

Run with `python -m bench misses`. One app, one PostgreSQL source, asked in turn with kept connections, as stock asks
it, and so with Flask-Caching's `RedisCache` in the place of ours; the second source is the same one, 10 ms away. Times
are wall-clock time, since most of it is waiting. Then what the parts of our miss take of it.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from bench.one_app import figures_of
from testing.passage import Message, Passage

ROUNDS = int(os.environ.get("MISSES_ROUNDS", "40"))
DISTANCE_SECONDS = 0.010  # there and back
SETTINGS = """
from superset_ext.config import *
"""
SCRIPT = """
from bench.misses import measured
say(measured(app, os.environ["SOURCE"]))
"""


def measured(app: Any, source: str) -> dict[str, dict[str, float]]:
    """Milliseconds of a miss at the median, by source and by how connections are made; within the app's process."""
    from sqlalchemy.engine.url import make_url

    _furnish()
    url = make_url(source)
    passage = Passage(url.host or "127.0.0.1", url.port or 5432, DISTANCE_SECONDS)
    away = url.set(host="127.0.0.1", port=passage.port).render_as_string(hide_password=False)
    far = _beside(app, away, passage.sent)
    return {"beside": _beside(app, source, []), "10 ms away": far, "parts": _parts(app, source)}


def _furnish() -> None:
    """Superset's roles, and somebody who may ask."""
    from superset.extensions import security_manager

    from testing.in_process import ADMIN, PASSWORD

    security_manager.sync_role_definitions()
    role = security_manager.find_role("Admin")
    security_manager.add_user(ADMIN, "Ada", "Min", "admin@example.org", role, PASSWORD)


HOW = ("kept", "new each time", "stock")


def _asking(app: Any, uri: str) -> tuple[Any, int]:
    from types import SimpleNamespace

    from testing.asking import Asking

    asking: Any = Asking(SimpleNamespace(app=app), uri)  # type: ignore[arg-type]
    asking.sql("CREATE TABLE IF NOT EXISTS t (v int)")
    asking.sql("TRUNCATE t")
    asking.sql("INSERT INTO t VALUES (1)")
    return asking, asking.dataset("t")


def _beside(app: Any, uri: str, sent: list[Message]) -> dict[str, float]:
    asking, dataset = _asking(app, uri)
    took: dict[str, list[float]] = {how: [] for how in HOW}
    counts: dict[str, list[float]] = {}
    for number in range(ROUNDS + 2):
        turn = number % len(HOW)
        for place, how in enumerate((*HOW[turn:], *HOW[:turn])):
            with _as(how, app):
                sent.clear()
                limit = 100 + number * len(HOW) + place
                started = time.perf_counter()
                cached, _ = asking.ask(dataset, row_limit=limit)
                milliseconds = (time.perf_counter() - started) * 1000
                if number > 1:
                    for name, count in _messages(sent, f"LIMIT {limit}".encode()).items():
                        counts.setdefault(f"{how}, {name}", []).append(count)
            assert not cached
            if number > 1:
                took[how].append(milliseconds)
    medians = {name: statistics.median(numbers) for name, numbers in counts.items()}
    return {how: statistics.median(times) for how, times in took.items()} | medians


def _messages(sent: Sequence[Message], query: bytes) -> dict[str, float]:
    """How many messages a miss sent, how many of them before its query, and for how many milliseconds it did that."""
    if not sent:
        return {}
    before = next(place for place, message in enumerate(sent) if query in message.content)
    return {"messages": len(sent), "before the query": before, "set-up": (sent[before].at - sent[0].at) * 1000}


@contextmanager
def _as(how: str, app: Any) -> Iterator[None]:
    """Within this, misses are made so: with what the package has, without its engines, or without its cache too."""
    import redis
    from flask_caching.backends.rediscache import RedisCache
    from superset.extensions import cache_manager

    from superset_ext.host import engines as seam

    caches, engines = app.extensions["cache"], seam.engines
    ours = caches[cache_manager._data_cache]
    if how != "kept":
        seam.engines = None
    if how == "stock":
        client = redis.Redis.from_url(f"{os.environ['SUPERSET_EXT_REDIS_URL']}/11")
        made: Any = RedisCache
        caches[cache_manager._data_cache] = made(client, default_timeout=900, key_prefix="s_")
    try:
        yield
    finally:
        caches[cache_manager._data_cache], seam.engines = ours, engines


def _parts(app: Any, uri: str) -> dict[str, float]:
    """Milliseconds at the median of what a miss does beside its query, on the request's path."""
    from superset.connectors.sqla.models import SqlaTable

    from superset_ext.cache import chart
    from superset_ext.cache.entries import Entries
    from superset_ext.cache.single_flight import SingleFlight
    from superset_ext.cache.store import Store

    asking, dataset = _asking(app, uri)
    places: dict[str, tuple[Any, str]] = {
        "the key": (SqlaTable, "get_extra_cache_keys"), "the read": (Store, "read"), "the lease": (SingleFlight, "ask"),
        "SQL": (SqlaTable, "get_query_str_extended"), "parsing": (chart, "depends"), "encoding": (Entries, "encode"),
        "the set": (Store, "fill"),
    }  # fmt: skip
    took: dict[str, list[float]] = {name: [] for name in places}
    with ExitStack() as patched:
        for name, (owner, function) in places.items():
            patched.enter_context(patch.object(owner, function, _timed(getattr(owner, function), took[name])))
        for number in range(ROUNDS):
            asking.ask(dataset, row_limit=5000 + number)
    return {name: statistics.median(times) for name, times in took.items()}


def _timed(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def timed(*args: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **options)
        finally:
            times.append((time.perf_counter() - started) * 1000)

    return timed


def main() -> None:
    """Print the tables, and a line of JSON."""
    figures = figures_of(SCRIPT, SETTINGS)
    parts = figures["parts"]
    for place in ("beside", "10 ms away"):
        kept, new, stock = (figures[place][how] for how in HOW)
        print(f"a source {place:12} stock {stock:7.1f}, ours {new:7.1f} → {kept:7.1f} ms a miss  ×{kept / stock:.2f}")
    print("of it, ms: " + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()))
    added, ours = (figures["10 ms away"][how] - figures["beside"][how] for how in ("stock", "kept"))
    print(f"what the distance adds: stock {added:.1f}, ours {ours:.1f} ms  ×{ours / added:.2f}")
    for name, unit in (("messages", ""), ("before the query", " messages"), ("set-up", " ms")):
        of_stock, of_ours = (figures["10 ms away"][f"{how}, {name}"] for how in ("stock", "kept"))
        print(f"{name}: stock {of_stock:.0f}{unit}, ours {of_ours:.0f}{unit}  ×{of_ours / of_stock:.2f}")
    print(json.dumps({"misses": figures}))


if __name__ == "__main__":
    main()
