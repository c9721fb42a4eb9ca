"""A gevent worker whose driver in C holds up all greenlets: it prints how many reads hit, and how many queries ran.

Run as a program, with the URL of a Redis, where gevent is installed.
"""

from __future__ import annotations

import importlib

importlib.import_module("gevent.monkey").patch_all()

import ctypes  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from superset_ext.cache.query import running  # noqa: E402
from superset_ext.cache.redis.circuit import circuits  # noqa: E402
from superset_ext.events import Scope  # noqa: E402
from testing.regions import heard, make_region  # noqa: E402

READERS = 12
LIMITS: dict[str, Any] = {
    "CONNECT_TIMEOUT_MS": 100,
    "READ_TIMEOUT_MS": 50,
    "TOTAL_TIMEOUT_MS": 1000,
}
_usleep = ctypes.PyDLL(None).usleep
cache = make_region(sys.argv[1], **LIMITS)
ran: list[str] = []


def block(seconds: float) -> None:
    """What psycopg2 does while a query runs: nothing else in this process runs."""
    _usleep(int(seconds * 1e6))


def ask(key: str) -> None:
    """What Superset does."""
    with running(Scope(dataset_id=1, database_id=1)):
        if cache.get(key) is None:
            ran.append(key)
            block(0.5)
            cache.set(key, {"query": "SELECT 1", "v": 1})


def blocker() -> None:
    """Other queries of this worker."""
    for _ in range(5):
        block(1.5)
        time.sleep(0)


def hits(targets: list[Callable[[], None]]) -> int:
    """Run greenlets to their end; how many reads hit."""
    with heard() as events:
        threads = [threading.Thread(target=target) for target in targets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(event.result is None for event in events)


def reads(key: str, count: int) -> list[Callable[[], None]]:
    """As many requests for one answer."""
    return [lambda: ask(key)] * count


ask("warm")
ran.clear()
kept = hits([*reads("warm", READERS // 2), blocker, *reads("warm", READERS // 2)])
shared = hits(reads("cold", READERS))
print(json.dumps({"hits": kept, "shared": shared, "ran": ran, "failed": sum(c.failed_calls for c in circuits())}))
