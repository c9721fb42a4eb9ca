"""The registry of this process: requests wait in memory, and the recorder's thread writes them every few seconds."""

from __future__ import annotations

import logging
import os
import weakref
from collections import deque

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
        self._reset()
        _registries.add(self)

    def _reset(self) -> None:
        self._queue: deque[Use] = deque()
        self.dropped = 0

    def note(self, use: Use) -> None:
        """Remember a request that was made; cheap enough for the request's path."""
        body = use.request.body or ""
        if len(self._queue) >= QUEUE or len(body) > MAX_BODY or "\0" in body:
            self.dropped += 1
        else:
            self._queue.append(use)

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            LogUnavailable: the log database does not answer. What was noted is dropped, because the registry
                remembers habits and is no ledger.
        """
        uses = [self._queue.popleft() for _ in range(len(self._queue))]
        if uses and self._settings.warm_capture:
            tables.write(self._database, self._settings, uses)
        if uses:
            worth.count_reads(self._database, [use for use in uses if use.wanted])
        if self.dropped:
            logger.warning("superset_ext: %d requests were not remembered for warming, being too many or too large",
                           self.dropped)  # fmt: skip
            self.dropped = 0


_registries: weakref.WeakSet[Registry] = weakref.WeakSet()


def _after_fork() -> None:
    for registry in _registries:
        registry._reset()


os.register_at_fork(after_in_child=_after_fork)
