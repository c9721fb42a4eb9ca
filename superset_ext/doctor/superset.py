"""Superset itself: its version, and dashboards that go round the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from superset_ext.doctor.finding import Finding
from superset_ext.package import Package

_MODE = "DASHBOARD_AUTO_REFRESH_MODE"


def check_version(app: Any, package: Package) -> Iterator[Finding]:
    """This Superset is one that the package knows."""
    version = app.config.get("VERSION_STRING", "")
    if not package.left_alone:
        yield Finding("superset", "fine", f"Superset {version}")
    for reason in package.left_alone:
        yield Finding("superset", "error", reason, "use a release of the package for your Superset")


def check_refreshing(app: Any, _package: Package) -> Iterator[Finding]:
    """No dashboard asks the database at each of its refreshes."""
    if app.config.get(_MODE, "force") != "force":
        yield Finding("dashboards", "fine", "automatic refreshes use the cache")
        return
    forcing = list(_refreshing())
    for title, seconds in forcing:
        message = f"the dashboard {title!r} asks the database anew every {seconds} s in each browser that shows it"
        yield Finding("dashboards", "warning", message, f'set {_MODE} = "fetch": what changed is fresh anyway')
    if not forcing:
        yield Finding("dashboards", "fine", "none refreshes by itself")


def _refreshing() -> Iterator[tuple[str, int]]:
    from superset.extensions import db
    from superset.models.dashboard import Dashboard

    for title, metadata in db.session.query(Dashboard.dashboard_title, Dashboard.json_metadata):
        try:
            seconds = int(json.loads(metadata or "{}").get("refresh_frequency") or 0)
        except (ValueError, TypeError, AttributeError):
            continue
        if seconds > 0:
            yield str(title), seconds
