"""Faults of Redis and of the log database, each caused for real and taken back, under load.

`tests/integration/test_http_faults.py` asserts what must hold, and `bench/faults.py` prints how long it takes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import redis

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.charts import Chart
from testing.serving import Client

CLIENTS = 8
CONFIG = "from superset_ext.config import *\n"
RECOVERED_WITHIN = 120.0
NEW = count(1000)  # row limits that make charts nobody has asked for yet


@dataclass(frozen=True)
class Asked:
    """One chart request: when it was sent (`time.monotonic()`), its status, seconds, and whether it was a hit."""

    at: float
    status: int
    seconds: float
    cached: bool


@dataclass
class Load:
    """Clients that ask for charts, one after the other, for as long as the block lasts.

    Every other request is for a chart that nobody has asked for before, so that there are always reads that could
    hit and sets that could be stored.

    Attributes:
        pace: seconds that each client waits between two requests; with none, they ask all that the machine bears.
    """

    clients: list[Client]
    dataset: int
    pace: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def _work(self, client: Client, number: int) -> None:
        turn = number
        while not self._stop.is_set():
            turn += 1
            self._ask(client, Chart(self.dataset, limit=next(NEW) if turn % 2 else 100 + turn % 6))
            self._stop.wait(self.pace)

    def _ask(self, client: Client, chart: Chart) -> None:
        began = time.monotonic()
        response = chart.ask(client)
        took = time.monotonic() - began
        cached = response.ok and bool(response.json()["result"][0]["is_cached"])
        self.asked.append(Asked(began, response.status_code, took, cached))
        if not response.ok:
            self.errors.append(response.text[:300])

    @contextmanager
    def running(self) -> Iterator[Load]:
        self._stop.clear()
        threads = [threading.Thread(target=self._work, args=(c, n)) for n, c in enumerate(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def wait(self, done: Callable[[Asked], bool], number: int, since: float) -> float | None:
        """Seconds from `since` to the `number`th request sent later for which `done` holds; `None` if none came."""
        deadline = time.monotonic() + RECOVERED_WITHIN
        while time.monotonic() < deadline:
            answers = [a for a in list(self.asked) if a.at >= since and done(a)]
            if len(answers) >= number:
                return answers[number - 1].at + answers[number - 1].seconds - since
            time.sleep(0.05)
        return None


def _admin(valkey: Valkey, password: str | None = None) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=valkey.port, password=password, socket_timeout=60)


@contextmanager
def killed(valkey: Valkey, log: Postgres) -> Iterator[None]:
    valkey.kill()
    try:
        yield
    finally:
        valkey.start()


@contextmanager
def frozen(valkey: Valkey, log: Postgres) -> Iterator[None]:
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(valkey.pid, signal.SIGCONT)


@contextmanager
def full(valkey: Valkey, log: Postgres) -> Iterator[None]:
    admin = _admin(valkey)
    admin.config_set("maxmemory-policy", "noeviction")
    admin.config_set("maxmemory", "1mb")
    try:
        yield
    finally:
        admin.config_set("maxmemory", "0")


@contextmanager
def wrong_password(valkey: Valkey, log: Postgres) -> Iterator[None]:
    _admin(valkey).config_set("requirepass", "another")
    _admin(valkey, "another").client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        _admin(valkey, "another").config_set("requirepass", "")


@contextmanager
def restarted_empty(valkey: Valkey, log: Postgres) -> Iterator[None]:
    valkey.kill()
    valkey.start()
    yield


@contextmanager
def log_stopped(valkey: Valkey, log: Postgres) -> Iterator[None]:
    log.stop()
    try:
        yield
    finally:
        log.start()


FAULTS = {f.__name__: f for f in (killed, frozen, full, wrong_password, restarted_empty, log_stopped)}
