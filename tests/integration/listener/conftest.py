"""Sources, sessions, and caches that a listener tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from superset_ext.freshness.watch import connection as connecting
from superset_ext.freshness.watch import listener as listening
from testing.listening import DATABASE, PATIENCE, Caches, Observed, Sources, add, listens, opened, run


@pytest.fixture(autouse=True)
def observed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions tell when they rest, and none is lost because the server took long over a statement."""
    monkeypatch.setattr(listening, "Session", Observed)
    monkeypatch.setattr(connecting, "_SETTINGS", connecting._SETTINGS.replace("'5s'", f"'{PATIENCE:.0f}s'"))


@pytest.fixture
def source(database_url: str) -> Iterator[Any]:
    with closing(opened(database_url)) as connection:
        run(connection, "CREATE TABLE sales (id int PRIMARY KEY, n int); INSERT INTO sales SELECT g, 0"
                        " FROM generate_series(1, 100) g; CREATE TABLE other (n int)")  # fmt: skip
        yield connection


@pytest.fixture
def session(database_url: str) -> Iterator[Callable[[], Any]]:
    """Opens sessions of their own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(opened(database_url)))


@pytest.fixture
def sources(source: Any, database_url: str) -> Sources:
    return Sources({DATABASE: database_url}, {DATABASE: set(add(source, "sales", "other"))})


@pytest.fixture
def caches(sources: Sources) -> Iterator[Caches]:
    """The caches, with a listener that has told them of its start and is quiet."""
    caches = Caches()
    with listens(sources, caches):
        caches.after(0.0)
        caches.cold()
        yield caches
