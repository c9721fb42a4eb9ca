"""What warming needs beside workers: a browser for pages that nobody has opened."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from superset_ext.doctor.finding import Finding
from superset_ext.package import Package
from superset_ext.warm.discovery.chromium import problem
from superset_ext.warm.discovery.discover import SET_BASE_URL, base_url
from superset_ext.warm.discovery.fence import origin

START_SECONDS = 30.0
ANSWER_SECONDS = 10.0


def check_browser(app: Any, package: Package) -> Iterator[Finding]:
    """A Chromium starts where the doctor runs, which is the image of the workers too, and finds Superset."""
    if package.database is None:
        return
    reason = problem(package.settings.warm_browser or None, START_SECONDS)
    if reason is None:
        yield _reaches(base_url(app, package.settings))
        return
    message, _, fix = reason.partition("; ")
    yield Finding(
        "browser",
        "warning",
        f"pages that nobody has opened are warmed from what their charts have saved alone: {message}",
        fix,
    )


def _reaches(base: str) -> Finding:
    """Whether a server is there where pages are opened."""
    url = urlsplit(base)
    try:
        address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        socket.create_connection(address, ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        message = f"no Superset answers at {origin(base)}, where pages that nobody has opened are opened: {error}"
        return Finding("browser", "warning", message, SET_BASE_URL)
    return Finding("browser", "fine", "a Chromium starts here, so pages that nobody has opened can be warmed")
