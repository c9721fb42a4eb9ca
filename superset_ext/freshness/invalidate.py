"""Invalidation on request: what a webhook or a command names is checked, and told; key patterns are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superset_ext.freshness import resolve as named
from superset_ext.freshness.change import EXTENSION, Freshness, Source, changed
from superset_ext.settings import Operation


def invalidate(
    names: named.Named,
    keys: Sequence[str],
    source: Source,
    operation: Operation,
    at: float | None = None,
    user_id: int | None = None,
) -> tuple[tuple[str, ...], float | None, int | None]:
    """Drop what is named; the tags that were stamped, when, and how many keys matched a pattern.

    A pattern drops what is there now: a query that is running at the time may still store what it has read.

    Args:
        keys: patterns of Superset's cache keys, with `*` and `?`.
        at: when it changed, in seconds since 1970.

    Raises:
        ChangeError: something that is named does not exist; nothing was dropped.
        StoreUnavailable: Redis could not be told, and old answers may still be served.
    """
    change = named.change(names, source, operation, at, user_id)
    told = None if change.is_empty() else changed(change)
    deleted = sum(_region().delete_like(pattern) for pattern in keys) if keys else None
    return told.tags if told else (), told.stamped_at if told else None, deleted


def _region() -> Any:
    from flask import current_app

    freshness: Freshness = current_app.extensions[EXTENSION]
    return freshness.stamps()
