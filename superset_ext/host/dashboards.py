"""Superset's dashboards that refresh by themselves. Needs an app context."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from superset_ext.host.metadata import metadata_rows

_MODE = "DASHBOARD_AUTO_REFRESH_MODE"


class AutoRefresh(NamedTuple):
    """A dashboard that refreshes by itself, every so many seconds."""

    dashboard_id: int
    title: str
    seconds: int


def auto_refreshes() -> Iterator[AutoRefresh]:
    """The dashboards that refresh by themselves."""
    for number, title, metadata in metadata_rows("SELECT id, dashboard_title, json_metadata FROM dashboards"):
        seconds = _refresh_seconds(metadata)
        if seconds > 0:
            yield AutoRefresh(number, str(title), seconds)


def auto_refreshes_force(app: Any) -> bool:
    """Whether an automatic refresh goes past the cache: Superset's own setting, which does so by default."""
    return bool(app.config.get(_MODE, "force") == "force")


def _refresh_seconds(metadata: str | None) -> int:
    try:
        return int(json.loads(metadata or "{}").get("refresh_frequency") or 0)
    except (ValueError, TypeError, AttributeError):
        return 0
