"""How far a reader of the code has to go to follow a cached read, and a miss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pandas as pd
import pytest

from superset_ext.cache import dependencies
from superset_ext.cache.chart import ChartCache
from superset_ext.cache.query import running
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Scope, asked, outcome
from testing.regions import chart_region
from testing.walk import Walk, walk

SOURCE = SimpleNamespace(database=SimpleNamespace(db_engine_spec=SimpleNamespace(engine="postgresql")))
CHART = {
    "df": pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}),
    "query": "SELECT a, sum(b) FROM public.t GROUP BY a",
    "dttm": "2026",
}


@pytest.fixture
def cache(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> ChartCache:
    """A region that has connected and has taken a lease before; who hears of outcomes has walks of their own."""
    monkeypatch.setattr(dependencies, "follow", None)
    for signal in (outcome, asked):
        monkeypatch.setattr(signal, "receivers", {})
    cache = chart_region(valkey.url)
    ask(cache, "warm")
    ask(cache, "warm")
    return cache


def ask(cache: ChartCache, key: str) -> None:
    """What Superset does: get, and where there is nothing run the query and set."""
    with running(Scope(dataset_id=1, database_id=1), SOURCE):
        if cache.get(key) is None:
            cache.set(key, CHART)


def shortest(call: Callable[[str], None], keys: Sequence[str]) -> Walk:
    """The walk without what only some calls meet: a server that stalls, a thread's first use of something."""
    return min((walk(lambda key=key: call(key)) for key in keys), key=lambda steps: (len(steps.files), steps.returns))


def test_a_cached_read_is_a_short_walk(cache: ChartCache) -> None:
    """Intent: it passes through no more files than ARCHITECTURE names, and comes back to them no more often."""
    steps = shortest(lambda key: ask(cache, key), ["warm"] * 5)
    assert len(steps.files) <= 15, " ".join(steps.files)
    assert steps.returns <= 19, steps.steps


def test_a_miss_is_a_walk_that_one_can_follow(cache: ChartCache) -> None:
    """Intent: from the read over the lease to what is stored, fewer than 20 files and 60 returns."""
    steps = shortest(lambda key: ask(cache, key), [f"cold {number}" for number in range(5)])
    assert len(steps.files) < 20, " ".join(steps.files)
    assert steps.returns < 60, " ".join(steps.steps)
