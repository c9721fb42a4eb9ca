"""Whether the machine has the browser in which warming opens pages: the one thing that `make up` does not bring."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from superset_ext.embedded.stack import ROOT

SECONDS = 120.0
_MISSING = "Without a browser, pages that nobody has opened are warmed from what their charts have saved:"


def browser_line(environment: Mapping[str, str]) -> str | None:
    """A line for a person, where no Chromium starts in a process with this environment; `None` where one does."""
    command = [sys.executable, "-m", "superset_ext.warm.discovery"]
    try:
        done = subprocess.run(
            command, env=dict(environment), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None  # a slow machine may have one
    if done.returncode == 0:
        return None
    lines = (done.stdout.strip() or done.stderr.strip() or "no reason given").splitlines()
    return f"{_MISSING} {lines[-1]}"
