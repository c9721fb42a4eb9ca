"""Warnings that a busy server would otherwise repeat thousands of times a minute."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("superset_ext.cache")

_EVERY = 60.0  # seconds
_last: dict[str, float] = {}


def warn(kind: str, message: str, *args: object) -> None:
    """Log a warning, at most one a minute of each `kind` in a process."""
    now = time.monotonic()
    if now - _last.get(kind, -_EVERY) >= _EVERY:
        _last[kind] = now
        logger.warning("superset_ext: " + message, *args)
