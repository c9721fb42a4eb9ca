"""The registry of this process: requests wait in memory, and the recorder's thread writes them every few seconds."""

from __future__ import annotations

import logging

from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import Settings
from superset_ext.warm.registry import tables, worth
from superset_ext.warm.registry.uses import Use

logger = logging.getLogger(__name__)

QUEUE = 5000  # requests that wait for the next flush; any more are dropped and counted
MAX_BODY = 256 * 1024


class Registry:
    """What this process has seen, until it is written.

    Args:
        database: the log database.
        settings: `warm_capture`, and what may be kept of a request.
    """

    def __init__(self, database: LogDatabase, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self.queue: BoundedQueue[Use] = BoundedQueue(QUEUE)

    def note(self, use: Use) -> None:
        """Remember a request that was made; cheap enough for the request's path."""
        body = use.request.body or ""
        if len(body) > MAX_BODY or "\0" in body:
            self.queue.drop()
        else:
            self.queue.put(use)

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            LogUnavailable: the log database does not answer. What was noted is dropped, because the registry
                remembers habits and is no ledger.
        """
        uses = self.queue.take()
        self.queue.done(uses)
        if uses and self._settings.warm_capture:
            tables.write(self._database, self._settings, uses)
        if uses:
            worth.count_reads(self._database, [use for use in uses if use.wanted])
        if dropped := self.queue.newly_dropped():
            logger.warning(
                "superset_ext: %d requests were not remembered for warming, being too many or too large", dropped
            )
