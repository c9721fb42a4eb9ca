"""What warming needs beside workers: a browser for pages that nobody has opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from superset_ext.doctor.finding import Finding
from superset_ext.package import Package
from superset_ext.warm.discovery.chromium import problem

START_SECONDS = 30.0


def check_browser(_app: Any, package: Package) -> Iterator[Finding]:
    """A Chromium starts where the doctor runs, which is the image of the workers too."""
    if package.database is None:
        return
    reason = problem(package.settings.warm_browser or None, START_SECONDS)
    if reason is None:
        yield Finding("browser", "fine", "a Chromium starts here, so pages that nobody has opened can be warmed")
        return
    message, _, fix = reason.partition("; ")
    yield Finding(
        "browser",
        "warning",
        f"pages that nobody has opened are warmed from what their charts have saved alone: {message}",
        fix,
    )
