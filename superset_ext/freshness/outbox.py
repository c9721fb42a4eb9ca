"""`cache_invalidation_outbox`: changes made in Superset that could not be stamped, because Redis did not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.signals import count_failure
from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable, StoreUnavailable
from superset_ext.freshness.change import Change

_BATCH = 100
_SECONDS = 60.0  # that a statement of a delivery may wait
_PUT = "INSERT INTO superset_ext.cache_invalidation_outbox (change) VALUES (%s)"
_WAITING = """
SELECT id, change::text AS change FROM superset_ext.cache_invalidation_outbox ORDER BY id LIMIT %s
FOR UPDATE SKIP LOCKED
"""
_DELIVERED = "DELETE FROM superset_ext.cache_invalidation_outbox WHERE id = ANY(%s)"


def put(database: LogDatabase | None, change: Change) -> None:
    """Keep a change for `deliver`. If it cannot be kept either, a warning says what to do; nothing is raised."""
    try:
        if database is None:
            raise LogUnavailable("there is no log database")
        with database.transaction() as cursor:
            cursor.execute(_PUT, (change.as_json(),))
    except LogUnavailable as error:
        warn(
            "outbox",
            "a change reached neither Redis nor the log database (%s); once they run, drop what is cached with: "
            "superset perf invalidate --all",
            error,
        )


def deliver(database: LogDatabase, changed: Callable[[Change], Any]) -> int:
    """Stamp the changes that wait, oldest first, and remove them.

    A change that fails for another reason than Redis stays, and keeps no other one waiting.

    Returns:
        How many were delivered.

    Raises:
        LogUnavailable: the log database does not answer.
        StoreUnavailable: Redis still does not answer.
    """
    delivered: list[int] = []
    with database.transaction(_SECONDS) as cursor:
        cursor.execute(_WAITING, (_BATCH,))
        try:
            for number, text in cursor.fetchall():
                if _is_stamped(changed, text):
                    delivered.append(number)
        except StoreUnavailable:
            if not delivered:
                raise
        cursor.execute(_DELIVERED, (delivered,))
    return len(delivered)


def _is_stamped(changed: Callable[[Change], Any], text: str) -> bool:
    try:
        changed(Change.from_json(text))
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001  (the later ones must not wait for it)
        count_failure("a change in cache_invalidation_outbox", error)
        return False
    return True
