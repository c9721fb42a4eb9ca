"""`cache_invalidation_log`: what changed, when the caches knew, and how much went. Written off the caller's path.

And the outbox: what was changed in Superset while Redis could not be told of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from superset_ext.cache.tags import ANY
from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable, StoreUnavailable
from superset_ext.freshness.change import Change, Told, as_rows

logger = logging.getLogger(__name__)

QUEUE = 1000  # changes that wait for the next flush; what comes on top is dropped and counted
_BATCH = 100
# What the registry knows of entries that carried one of the tags.
_INSERT = """
INSERT INTO superset_ext.cache_invalidation_log (
    source, operation, tables, tags, requested_by, stamped_at, seconds, requests_affected, entries_affected)
SELECT %(source)s, %(operation)s, %(tables)s, %(tags)s, %(requested_by)s, to_timestamp(%(stamped_at)s), %(seconds)s,
    count(DISTINCT r.fingerprint), sum(cardinality(s.cache_keys))
FROM superset_ext.cache_request r JOIN superset_ext.cache_request_scope s USING (fingerprint)
WHERE r.tags && %(read)s::text[]
"""
_OUTBOX = "INSERT INTO superset_ext.cache_invalidation_outbox (change) VALUES (%s)"
_WAITING = """
SELECT id, change::text AS change FROM superset_ext.cache_invalidation_outbox ORDER BY id LIMIT %s
FOR UPDATE SKIP LOCKED
"""
_TOLD = "DELETE FROM superset_ext.cache_invalidation_outbox WHERE id = ANY(%s)"


class InvalidationLog:
    """The changes that this process told, and the way into their table.

    Args:
        database: the log database.
        begin: called with each change, to have somebody call `flush` before long.
    """

    def __init__(self, database: LogDatabase, begin: Callable[[], None]) -> None:
        self._database = database
        self._begin = begin
        self._queue: BoundedQueue[Told] = BoundedQueue(QUEUE)

    def note(self, done: Told) -> None:
        """Remember a change; cheap enough for any caller."""
        if self._queue.put(done):
            self._begin()

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            LogUnavailable: the database does not answer; what was noted is kept for the next time.
        """
        noted = self._queue.take()
        try:
            self._write(noted)
        except LogUnavailable:
            self._queue.give_back(noted)
            raise
        self._queue.done(noted)
        if dropped := self._queue.newly_dropped():
            logger.warning("superset_ext: %d changes are not in cache_invalidation_log, being too many", dropped)

    def _write(self, noted: Sequence[Told]) -> None:
        if noted:
            with self._database.transaction() as cursor:
                for done in noted:
                    cursor.execute(_INSERT, as_rows(done) | {"read": [tag for tag in done.tags if tag != ANY]})


def keep(database: LogDatabase | None, change: Change) -> None:
    """Put a change that Redis could not be told into the outbox; what cannot be kept either is said aloud."""
    try:
        if database is None:
            raise LogUnavailable("there is no log database")
        with database.transaction() as cursor:
            cursor.execute(_OUTBOX, (change.as_json(),))
    except LogUnavailable as error:
        warn(
            "outbox",
            "neither Redis nor the log database could be told of a change (%s); once they run, drop what is cached "
            "with: superset perf invalidate --all",
            error,
        )


def tell_again(database: LogDatabase, changed: Callable[[Change], Any]) -> int:
    """Tell the changes of the outbox, oldest first, and forget those that were told; how many those were.

    Raises:
        LogUnavailable: the log database does not answer.
        StoreUnavailable: Redis still cannot be told.
    """
    told: list[int] = []
    with database.transaction(60.0) as cursor:
        cursor.execute(_WAITING, (_BATCH,))
        try:
            for number, change in cursor.fetchall():
                changed(Change.from_json(change))
                told.append(number)
        except StoreUnavailable:
            if not told:
                raise
        cursor.execute(_TOLD, (told,))
    return len(told)
