"""An edit that is told while a request has read its dataset, and has not asked the cache yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from superset_ext.freshness.change import EXTENSION, Change
from testing.edited import Sources, asked, editing, run
from testing.in_process import InProcess
from testing.warming import until


@pytest.fixture
def dataset(superset_app: InProcess, database_url: str) -> Iterator[int]:
    """A dataset over a table of a database of its own."""
    run(database_url, "CREATE TABLE edited (owner text, v int); INSERT INTO edited VALUES ('a', 1)")
    sources = Sources()
    with superset_app.app.app_context():
        made = sources.dataset(sources.database("between", database_url), "edited")
    yield made
    with superset_app.app.app_context():
        sources.remove()


def _once_between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something once, when a request has read its dataset and makes the key to ask the cache by."""
    from superset.connectors.sqla.models import SqlaTable

    own, left = SqlaTable.get_extra_cache_keys, [act]

    def between(self: Any, query_obj: Any) -> Any:
        keys = own(self, query_obj)
        while left:
            left.pop()()
        return keys

    monkeypatch.setattr(SqlaTable, "get_extra_cache_keys", between)


def test_what_was_read_before_an_edit_is_not_fresh_after_it(
    superset_app: InProcess, dataset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: nothing stale after a change was told, also where the key does not show it: the edit of a database, or a
    second edit of a dataset within a second on MySQL."""
    client = editing(superset_app)
    edit = Change("superset", "user_action", datasets=[dataset])
    _once_between(monkeypatch, lambda: superset_app.app.extensions[EXTENSION].changed(edit))
    assert asked(client, dataset) == ([("a", 1)], False)
    assert asked(client, dataset) == ([("a", 1)], False), "it was made of what the dataset was before"
    until(lambda: asked(client, dataset)[1])


def test_an_edit_of_before_a_request_leaves_its_answer_fresh(superset_app: InProcess, dataset: int) -> None:
    """Intent: hits come back after a change; a process that stalls between both readings may miss once more."""
    client = editing(superset_app)
    asked(client, dataset)
    superset_app.app.extensions[EXTENSION].changed(Change("superset", "user_action", datasets=[dataset]))
    assert asked(client, dataset) == ([("a", 1)], False)
    until(lambda: asked(client, dataset)[1])
    assert asked(client, dataset) == ([("a", 1)], True)
