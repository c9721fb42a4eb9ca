"""A metadata database that keeps whole seconds of when something was edited, as MySQL does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.freshness.relations import views
from superset_ext.host import remembered


@pytest.mark.parametrize("place", [views._place, remembered._place])
def test_what_a_server_has_told_is_not_taken_for_anothers(
    place: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a database of Superset's that is sent to another server twice within a second asks each of them."""
    monkeypatch.setattr("flask.current_app", SimpleNamespace(config={"DB_CONNECTION_MUTATOR": None}))
    edited = {"id": 1, "changed_on": datetime(2026, 1, 1, 12, 0, 0), "impersonate_user": False}
    first, second = (SimpleNamespace(**edited, sqlalchemy_uri=f"postgresql://{host}/shop") for host in "ab")
    assert place(first, None) != place(second, None)
    assert place(first, None) == place(first, None)
