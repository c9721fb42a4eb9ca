"""A metadata database that keeps whole seconds of when something was edited, as MySQL does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.freshness.relations import views
from superset_ext.host import remembered

MOMENT = datetime(2026, 1, 1, 12, 0, 0)


@pytest.mark.parametrize("place", [views._place, remembered._place])
def test_what_a_server_has_told_is_not_taken_for_anothers(
    place: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a database of Superset's that is sent to another server twice within a second asks each of them."""
    monkeypatch.setattr("flask.current_app", SimpleNamespace(config={"DB_CONNECTION_MUTATOR": None}))
    edited = {"id": 1, "changed_on": MOMENT, "impersonate_user": False, "extra": None}
    first, second = (SimpleNamespace(**edited, sqlalchemy_uri=f"postgresql://{host}/shop") for host in "ab")
    assert place(first, None) != place(second, None)
    assert place(first, None) == place(first, None)


def test_views_are_not_those_of_another_search_path() -> None:
    """Intent: what a database connects with is edited twice within a second; its views are looked up by either."""
    edited = {"id": 1, "changed_on": MOMENT, "impersonate_user": False, "sqlalchemy_uri": "postgresql://a/shop"}
    first, second = (SimpleNamespace(**edited, extra=f'{{"engine_params": {{"schema": "{name}"}}}}') for name in "ab")
    assert views._place(first, None) != views._place(second, None)
