"""Entries that a changed chart shares with others go, also when the log database is away at that moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.signals import tell
from superset_ext.embedded.valkey import Valkey
from superset_ext.errors import LogUnavailable
from superset_ext.events import Answer, changed
from superset_ext.freshness.change import Change, Told
from superset_ext.host.people import Identity
from superset_ext.settings import load
from superset_ext.warm import shared_entries
from superset_ext.warm.registry import tables
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, Use
from superset_ext.warm.shared_entries import SharedEntries
from testing.regions import make_region


@pytest.fixture
def database(database_url: str) -> Iterator[LogDatabase]:
    """A log database without its tables: it refuses what it is asked."""
    made = LogDatabase(database_url)
    yield made
    made.close()


def use(chart: int, dashboard: int, key: str) -> Use:
    request = ChartRequest("data", "/api/v1/chart/data", "", f'{{"form_data": {{"slice_id": {chart}}}}}')
    return Use(request, Identity(1), (Answer(key, True, None, 1.0),), Ids(dashboard, chart), time.time())


def edited(*charts: int, dashboards: tuple[int, ...] = ()) -> Told:
    return Told(Change("superset", "user_action", charts=charts, dashboards=dashboards), (), time.time(), None)


def test_entries_go_when_the_log_database_is_back(database: LogDatabase, valkey: Valkey) -> None:
    """Intent: a change is told whatever the log database does; what it shares goes as soon as that can be known."""
    region = make_region(valkey.url)
    for key in ("of one", "of two", "of a dashboard", "of another"):
        assert region.set(key, {"query": "SELECT 1"})
    shared = SharedEntries(database, lambda: region)
    shared.install()
    tell(changed, "superset", edited(1))
    tell(changed, "superset", edited(2, dashboards=(7,)))
    with pytest.raises(LogUnavailable):
        shared.retry()
    database.apply_schema()
    uses = [use(1, 5, "of one"), use(2, 5, "of two"), use(3, 7, "of a dashboard"), use(4, 5, "of another")]
    tables.write(database, load({}), uses)
    shared.retry()
    assert [bool(region.get(key)) for key in ("of one", "of two", "of a dashboard", "of another")] == [
        False, False, False, True,
    ]  # fmt: skip
    assert region.set("of one", {"query": "SELECT 1"})
    shared.retry()
    assert region.get("of one"), "what was deleted once is not deleted again"


def test_what_waits_for_the_log_database_is_bounded(database: LogDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: an import of thousands of charts, with the log database away for days, costs little memory."""
    monkeypatch.setattr(shared_entries, "PENDING", 3)
    shared = SharedEntries(database, lambda: None)
    shared.install()
    tell(changed, "superset", edited(1, 2))
    tell(changed, "superset", edited(3, 4))
    tell(changed, "superset", edited(3))
    assert shared.dropped == 2
