"""The outbox in a real log database: in order, each change once, and none in the way of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness import outbox
from superset_ext.freshness.change import Change


@pytest.fixture
def log(postgres: Postgres) -> Iterator[LogDatabase]:
    with closing(LogDatabase(postgres.create_database(f"l_{uuid4().hex[:12]}"))) as database:
        database.apply_schema()
        yield database


def of(dataset: int) -> Change:
    return Change("superset", "user_action", datasets=(dataset,))


class Receiver:
    """Takes changes, as long as Redis answers."""

    def __init__(self) -> None:
        self.datasets: list[int] = []
        self.away_after = 100
        self.poison = 0

    def __call__(self, change: Change) -> None:
        if len(self.datasets) >= self.away_after:
            raise StoreUnavailable("Redis does not answer")
        if change.datasets[0] == self.poison:
            raise RuntimeError("a mistake of ours")
        self.datasets.append(change.datasets[0])


def test_changes_are_delivered_in_order_and_once(log: LogDatabase) -> None:
    """Intent: what Redis has taken is not told again; what it has not taken is the first of the next time."""
    for dataset in (1, 2, 3):
        outbox.put(log, of(dataset))
    receiver = Receiver()
    receiver.away_after = 2
    assert outbox.deliver(log, receiver) == 2
    with pytest.raises(StoreUnavailable):
        outbox.deliver(log, receiver)
    receiver.away_after = 100
    assert outbox.deliver(log, receiver) == 1
    assert receiver.datasets == [1, 2, 3]
    assert outbox.deliver(log, receiver) == 0


def test_a_change_that_cannot_be_delivered_stops_no_other(log: LogDatabase) -> None:
    """Intent: it stays, for a version that can deliver it, and later ones are not kept from the caches."""
    receiver = Receiver()
    receiver.poison = 1
    for dataset in (1, 2):
        outbox.put(log, of(dataset))
    assert outbox.deliver(log, receiver) == 1
    receiver.poison = 0
    assert outbox.deliver(log, receiver) == 1
    assert receiver.datasets == [2, 1]
