"""A lower room tells upper ones; what they do with it can neither answer nor fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from superset_ext import events
from superset_ext.core.signals import failures, tell
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.change import Change, Freshness


@pytest.fixture
def received() -> Iterator[list[Any]]:
    """The changes that a second receiver gets, after one that always fails."""
    kept: list[Any] = []

    def broken(sender: Any, event: Any) -> None:
        raise StoreUnavailable("Redis does not answer")

    def keeping(sender: Any, event: Any) -> None:
        kept.append(event)

    with events.changed.connected_to(broken), events.changed.connected_to(keeping):
        yield kept


def test_a_receiver_that_fails_stops_nobody(received: list[Any]) -> None:
    """Intent: the sender goes on, the other receivers are told, and the failure is counted."""
    before = sum(failures.values())
    tell(events.changed, "cli", "what changed")
    assert received == ["what changed"]
    assert sum(failures.values()) == before + 1


def test_a_change_that_is_stamped_has_succeeded(received: list[Any]) -> None:
    """Intent: rewarming that cannot reach Redis does not make `changed` fail after it has stamped."""

    class Stamps:
        def stamp(self, tags: Any) -> float:
            return 12.0

    freshness = Freshness(Stamps, lambda _database, tables: tables, None)
    told = freshness.changed(Change("cli", "data_update", everything=True))
    assert told.stamped_at == 12.0
    assert received == [told]
