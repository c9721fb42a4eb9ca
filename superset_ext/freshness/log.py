"""`cache_invalidation_log`: what changed, when its tags were stamped, and how many answers that dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from superset_ext.cache.tags import ANY
from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.freshness.change import StampedChange

logger = logging.getLogger(__name__)

QUEUE = 1000  # changes that wait for the next flush; any more are dropped and counted


class InvalidationLog:
    """The changes that this process has stamped, on their way into the table.

    Args:
        database: the log database.
        begin: called with each change; it makes sure that somebody calls `flush` soon.
    """

    def __init__(self, database: LogDatabase, begin: Callable[[], None]) -> None:
        self._database = database
        self._begin = begin
        self._queue: BoundedQueue[StampedChange] = BoundedQueue(QUEUE)

    def note(self, stamped: StampedChange) -> None:
        """Remember a change until the next flush; cheap enough for a request's path."""
        if self._queue.put(stamped):
            self._begin()

    def flush(self) -> None:
        """Write the changes that wait.

        Raises:
            LogUnavailable: the database does not answer; the changes wait for the next flush.
        """
        waiting = self._queue.take()
        try:
            self._write(waiting)
        except LogUnavailable:
            self._queue.give_back(waiting)
            raise
        self._queue.done(waiting)
        if dropped := self._queue.newly_dropped():
            logger.warning("superset_ext: %d changes are missing in cache_invalidation_log: too many at once", dropped)

    def _write(self, changes: Sequence[StampedChange]) -> None:
        if changes:
            insert = self._database.statement("invalidation_with_what_it_dropped")
            with self._database.transaction() as cursor:
                for stamped in changes:
                    cursor.execute(insert, _row(stamped))


def _row(stamped: StampedChange) -> dict[str, Any]:
    """The parameters of `invalidation_with_what_it_dropped`."""
    change = stamped.change
    tags = [_text(tag) for tag in stamped.tags]
    return {
        "source": change.source, "operation": change.operation, "tables": [_text(str(name)) for name in change.tables],
        "tags": tags, "requested_by": change.user_id, "stamped_at": stamped.stamped_at,
        "seconds": stamped.seconds, "precaution": change.precaution, "read": [tag for tag in tags if tag != ANY],
    }  # fmt: skip


def _text(name: str) -> str:
    """A name as PostgreSQL's text can hold it: no table is really called otherwise, but anybody may report one."""
    return name.encode(errors="replace").decode().replace("\0", "\ufffd")
