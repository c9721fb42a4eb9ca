"""Regions on real servers, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import redis

from superset_ext.cache import query as queries
from superset_ext.cache.chart import ChartCache, region_of
from superset_ext.cache.region import RegionCache
from superset_ext.events import Outcome, outcome
from superset_ext.settings import Region, load

SECRET = "the secret of the tests"
PATIENT = {"CONNECT_TIMEOUT_MS": 60_000, "READ_TIMEOUT_MS": 60_000, "TOTAL_TIMEOUT_MS": 120_000}


def make_region(
    url: str, name: Region = Region.CHART_DATA, secret: str = SECRET, previous: str | None = None, **knobs: Any
) -> RegionCache:
    """A region as an app would have it; `knobs` are settings by their names after `SUPERSET_EXT_`.

    The server may be silent for as long as a test machine may be busy, unless a test says otherwise, and there is no
    grace.
    """
    queries._loose.set(None)  # what an earlier test has read in this thread is not this one's
    environ = {"REDIS_URL": url, "BROKER_URL": "memory://", "GRACE_SECONDS": 0, **PATIENT}
    environ |= {name.upper(): value for name, value in knobs.items()}
    settings = load({f"SUPERSET_EXT_{name}": str(value) for name, value in environ.items()})
    cache = region_of(name, settings)
    cache.bind(SimpleNamespace(config={"SECRET_KEY": secret, "PREVIOUS_SECRET_KEY": previous}))
    return cache


def client_of(url: str, name: Region = Region.CHART_DATA) -> redis.Redis:
    """A plain client of the database that a region lives in."""
    settings = load({"SUPERSET_EXT_REDIS_URL": url})
    return redis.Redis.from_url(settings.region_url(name))


def now_ms(client: redis.Redis) -> int:
    """The server's time."""
    now: Any = client.time()  # typed for asynchronous clients too
    return int(now[0]) * 1000 + int(now[1]) // 1000


def given(client: redis.Redis, key: str, seconds: float, since: int) -> bool:
    """Whether a key was given so long to live at some time since `since`, which `now_ms` said."""
    return since <= int(client.pexpiretime(key)) - seconds * 1000 <= now_ms(client)


def chart_region(url: str, **knobs: Any) -> ChartCache:
    """The region of chart data; see `make_region`."""
    cache = make_region(url, **knobs)
    assert isinstance(cache, ChartCache)
    return cache


@contextmanager
def heard() -> Iterator[list[Outcome]]:
    """Every outcome that regions report meanwhile."""
    events: list[Outcome] = []

    def hear(_: Any, event: Outcome) -> None:
        events.append(event)

    with outcome.connected_to(hear):
        yield events
