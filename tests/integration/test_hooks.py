"""No hook of ours fails what a person does in Superset, whatever it meets: a foreign cache, or a fault of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import request_started
from flask_caching.backends import FileSystemCache, MemcachedCache, NullCache, RedisCache, SimpleCache
from sqlalchemy.orm import Query, Session

from superset_ext.core.signals import failures
from superset_ext.core.until_commit import UntilCommit
from superset_ext.host.event_watch import about_to_execute
from testing.asking import Asking
from testing.in_process import InProcess

pytestmark = pytest.mark.timeout(300)
EVENTS: dict[Any, tuple[str, ...]] = {
    Session: ("after_flush", "after_bulk_update", "after_bulk_delete"),
    Query: ("before_compile_update", "before_compile_delete"),
}


class Memory:
    """A client for memcached without a server."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any, _timeout: int = 0) -> bool:
        self.values[key] = value
        return True


BACKENDS: dict[str, Callable[[Path, str], Any]] = {
    "null": lambda folder, url: NullCache(),
    "simple": lambda folder, url: SimpleCache(),
    "files": lambda folder, url: FileSystemCache(str(folder)),
    "memcached": lambda folder, url: MemcachedCache(Memory()),
    "redis": lambda folder, url: RedisCache(redis.Redis.from_url(url)),
}


@pytest.fixture
def asking(superset_app: InProcess, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A source with one table."""
    monkeypatch.setitem(superset_app.app.config, "WTF_CSRF_ENABLED", False)
    made = Asking(superset_app, database_url)
    made.sql("CREATE TABLE t (v int); INSERT INTO t VALUES (1)")
    return made


def does_all(asking: Asking, superset_app: InProcess) -> list[int]:
    """What a person does, and how Superset answers: a chart, an edit of a dataset and what follows it, a new one."""
    dataset = asking.dataset("t")
    client = superset_app.client()
    answers = [
        client.put(f"/api/v1/dataset/{dataset}", json={"description": "edited"}),
        client.put(f"/api/v1/dataset/{dataset}?override_columns=true", json={"columns": [{"column_name": "v"}]}),
        client.get(f"/api/v1/dataset/{dataset}"),
        client.post("/api/v1/cachekey/invalidate", json={"datasource_uids": []}),
    ]
    assert asking.ask(dataset)[1] == 1
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cache_of_ones_own_for_charts_fails_no_edit(
    asking: Asking, superset_app: InProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str
) -> None:
    """Intent: DATA_CACHE_CONFIG below our line may be any of Flask-Caching's; nothing is lost, nothing is counted."""
    from superset.extensions import cache_manager

    caches = superset_app.app.extensions["cache"]
    monkeypatch.setitem(caches, cache_manager.data_cache, BACKENDS[backend](tmp_path, superset_app.redis_url))
    before = failures.copy()
    outbox = "SELECT count(*) FROM superset_ext.cache_invalidation_outbox"
    waiting = superset_app.rows(outbox)
    assert does_all(asking, superset_app) == [200, 200, 200, 201]
    assert superset_app.rows(outbox) == waiting, "nothing waits for a cache that is not ours"
    assert failures == before
    result = superset_app.perf("invalidate", "--all")
    assert result.exit_code == 1
    assert "not by this package" in result.output


def hooks(app: Any) -> list[Any]:
    """All functions of ours that Flask and SQLAlchemy call while a person waits."""
    flask = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    functions = [function for by_blueprint in flask for listed in by_blueprint.values() for function in listed]
    functions += app.teardown_appcontext_funcs
    for kind, names in EVENTS.items():
        functions += [hook for name in names for hook in getattr(kind.dispatch, name)._clslevel[kind]]
    functions += [UntilCommit._committed, UntilCommit._rolled_back]  # of a session in which something happens
    functions += [about_to_execute, *request_started.receivers_for(app)]
    return [function for function in functions if str(function.__module__).startswith("superset_ext.")]


def test_every_hook_is_guarded(superset_app: InProcess) -> None:
    """Intent: a hook that somebody adds is guarded as well."""
    made = hooks(superset_app.app)
    assert len(made) >= 12
    unguarded = [f"{hook.__module__}.{hook.__qualname__}" for hook in made if not hasattr(hook, "__wrapped__")]
    assert unguarded == []


def boom(*_: Any, **__: Any) -> None:
    """A fault."""
    raise RuntimeError("boom")


@pytest.fixture
def broken(superset_app: InProcess) -> Iterator[int]:
    """All hooks raise; how many there are."""
    made = [getattr(hook, "__func__", hook) for hook in hooks(superset_app.app)]
    before = [hook.__wrapped__ for hook in made]
    for hook in made:
        hook.__wrapped__ = boom
    yield len(made)
    for hook, wrapped in reversed([*zip(made, before, strict=True)]):
        hook.__wrapped__ = wrapped


def test_hooks_that_raise_change_no_answer(asking: Asking, superset_app: InProcess, broken: int) -> None:
    """Intent: a chart, an edit, a bulk edit and an invalidation answer as they do; each failure is counted."""
    assert broken
    before = failures.copy()
    assert does_all(asking, superset_app) == [200, 200, 200, 201]
    assert sum((failures - before).values()) > 10


@pytest.mark.parametrize(
    "fault",
    [
        "superset_ext.host.chart_queries.scope_of",
        "superset_ext.host.source_queries.tell",
        "superset_ext.host.source_queries.own_scope",
        "superset_ext.warm.registry.capture.current_identity",
        "superset_ext.freshness.listeners.tell.outbox.put",
        "superset_ext.freshness.change.Freshness.changed",
        "superset_ext.cache.chart.depends",
    ],
)
def test_a_fault_in_what_hooks_call_changes_no_answer(
    asking: Asking, superset_app: InProcess, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Intent: also beneath the hooks and in the wrappers of Superset's functions."""
    monkeypatch.setattr(fault, boom)
    answers = does_all(asking, superset_app)
    assert [status for status in answers if status >= 500 and status != 503] == []
