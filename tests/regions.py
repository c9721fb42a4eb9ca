"""Regions on real servers, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import redis

from superset_ext.cache import scope
from superset_ext.cache.region import RegionCache
from superset_ext.settings import Region, load
from superset_ext.signals import Outcome, outcome

SECRET = "the secret of the tests"


def make_region(
    url: str, name: Region = Region.CHART_DATA, secret: str = SECRET, previous: str | None = None, **knobs: object
) -> RegionCache:
    """A region as an app would have it; `knobs` are settings by their names after `SUPERSET_EXT_`.

    Reads may be silent for longer than by default, since a test machine may be busy, and there is no grace.
    """
    scope._loose.set(None)  # what an earlier test has read in this thread is not this one's
    environ = {"REDIS_URL": url, "BROKER_URL": "memory://", "READ_TIMEOUT_MS": 250, "GRACE_SECONDS": 0, **knobs}
    settings = load({f"SUPERSET_EXT_{name.upper()}": str(value) for name, value in environ.items()})
    cache = RegionCache(name, settings)
    cache.bind(SimpleNamespace(config={"SECRET_KEY": secret, "PREVIOUS_SECRET_KEY": previous}))
    return cache


def client_of(url: str, name: Region = Region.CHART_DATA) -> redis.Redis:
    """A plain client of the database that a region lives in."""
    settings = load({"SUPERSET_EXT_REDIS_URL": url})
    return redis.Redis.from_url(settings.region_url(name))


@contextmanager
def heard() -> Iterator[list[Outcome]]:
    """Every outcome that regions report meanwhile."""
    events: list[Outcome] = []

    def hear(_: Any, event: Outcome) -> None:
        events.append(event)

    with outcome.connected_to(hear):
        yield events
