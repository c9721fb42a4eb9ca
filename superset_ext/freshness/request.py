"""An invalidation that somebody requests, through the API or the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from superset_ext.freshness.change import Source, changed
from superset_ext.freshness.resolve import Names, resolve
from superset_ext.host.regions import chart_region
from superset_ext.package import this_app
from superset_ext.settings import Operation


class Invalidated(NamedTuple):
    """What an invalidation did.

    Attributes:
        tags: the tags that were stamped.
        stamped_at: when, by the clock of Redis, in seconds since 1970; `None` if only keys were requested.
        keys_deleted: how many keys matched a pattern; `None` if no pattern was given.
    """

    tags: tuple[str, ...]
    stamped_at: float | None
    keys_deleted: int | None

    def as_dict(self) -> dict[str, Any]:
        """It as JSON has it, without what was not asked for."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def invalidate(
    names: Names,
    keys: Sequence[str],
    source: Source,
    operation: Operation,
    at: float | None = None,
    user_id: int | None = None,
) -> Invalidated:
    """Drop everything that was read from what the names stand for. Needs an app context.

    A pattern of keys drops the entries that are there now: a query that is running may still store what it has read.

    Args:
        keys: patterns of Superset's cache keys, with `*` and `?`.
        at: when it changed, in seconds since 1970.

    Raises:
        ChangeError: a name stands for nothing; nothing was dropped.
        StoreUnavailable: Redis could not be told; old answers may still be served.
    """
    change = resolve(names, source, operation, at, user_id)
    stamped = None if change.is_empty() else changed(change)
    region = chart_region(this_app())
    deleted = sum(region.delete_like(pattern) for pattern in keys) if keys else None
    return Invalidated(stamped.tags if stamped else (), stamped.stamped_at if stamped else None, deleted)
