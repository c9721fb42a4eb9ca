"""Superset itself: its version, and dashboards that go round the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from superset_ext.doctor.finding import Finding
from superset_ext.host.dashboards import auto_refreshes, auto_refreshes_force
from superset_ext.package import Package


def check_version(app: Any, package: Package) -> Iterator[Finding]:
    """This Superset is one that the package knows."""
    version = app.config.get("VERSION_STRING", "")
    if not package.left_alone:
        yield Finding("superset", "fine", f"Superset {version}")
    for reason in package.left_alone:
        yield Finding("superset", "error", reason, "use a release of the package for your Superset")


def check_refreshing(app: Any, _package: Package) -> Iterator[Finding]:
    """No dashboard asks the database at each of its refreshes."""
    if not auto_refreshes_force(app):
        yield Finding("dashboards", "fine", "automatic refreshes use the cache")
        return
    forcing = list(auto_refreshes())
    for _, title, seconds in forcing:
        message = f"the dashboard {title!r} asks the database anew every {seconds} s in each browser that shows it"
        yield Finding(
            "dashboards", "warning", message, 'set DASHBOARD_AUTO_REFRESH_MODE = "fetch": what changed is fresh anyway'
        )
    if not forcing:
        yield Finding("dashboards", "fine", "no dashboard refreshes by itself")
