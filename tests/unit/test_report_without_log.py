"""What is said of the caches where no log database is set, as with a metadata database on MySQL."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.cli import status as command
from superset_ext.monitor import report
from superset_ext.settings import load

SETTINGS = load({"SUPERSET_EXT_REDIS_URL": "redis://127.0.0.1:1"})


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the one region's server says of itself; `None` where it does not answer."""
    info_of = {"info": SimpleNamespace(used_memory=1, policy="volatile-lru")}
    region = SimpleNamespace(server_info=lambda: info_of["info"])
    monkeypatch.setattr(report, "regions", lambda _app: {"chart_data": region})
    return info_of


def test_what_nobody_counts_is_no_nought(answers: dict[str, Any]) -> None:
    """Intent: every number is a count; without a log nobody counts hits, and a dash or null says so."""
    (row,) = report.status(None, None, SETTINGS)
    assert (row["hits"], row["misses"], row["hit_ratio"]) == (None, None, None)
    assert command._cells(row)[-3:] == ("–", "–", "–")


def test_a_log_that_is_not_set_is_no_illness(answers: dict[str, Any]) -> None:
    """Intent: whoever takes servers away that are not healthy does not take away all that have no log."""
    assert report.health(None, None) == {"healthy": True, "regions": {"chart_data": True}, "log": None}
    answers["info"] = None
    assert report.health(None, None)["healthy"] is False
