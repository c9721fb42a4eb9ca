"""`python -m superset_ext.warm.discovery`: says why pages cannot be opened on this machine, if they cannot."""

from __future__ import annotations

import sys

from superset_ext.settings import current
from superset_ext.warm.discovery.chromium import problem

SECONDS = 60.0


def main() -> int:
    """Print the reason, and what helps; returns the exit status, 1 where there is one."""
    reason = problem(current().warm_browser or None, SECONDS)
    if reason:
        print(reason)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
