"""The thread that makes connections as new, and closes those that nobody uses."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from typing import Any

from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.sources.pool import KeptPool

logger = logging.getLogger(__name__)


class Cleaner:
    """One thread a process, which begins with the first connection and ends when none waits any more.

    Args:
        idle_seconds: for which a connection waits to be used again.
    """

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        reset_on_fork(self)

    def reset(self) -> None:
        """Begin with nothing: the connections are the parent's."""
        self._changed = threading.Condition()
        self._dirty: deque[tuple[KeptPool, Any]] = deque()
        self._pools: weakref.WeakSet[KeptPool] = weakref.WeakSet()
        self._thread: threading.Thread | None = None

    def take(self, pool: KeptPool, record: Any) -> None:
        """Clean a connection soon, and give it back to its pool."""
        with self._changed:
            self._dirty.append((pool, record))
            self._pools.add(pool)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="superset_ext-sources", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._dirty:
                    self._changed.wait(self._idle_seconds / 4)
                taken = self._dirty.popleft() if self._dirty else None
            if taken:
                pool, record = taken
                pool.ready(record, _clean(record.dbapi_connection))
            elif self._is_over():
                return

    def _is_over(self) -> bool:
        """Whether nothing waits once old connections are closed; the thread ends then."""
        with self._changed:
            pools = list(self._pools)
        waits = [pool.expire(self._idle_seconds) for pool in pools]
        with self._changed:
            if any(waits) or self._dirty:
                return False
            self._thread = None
            return True


def _clean(connection: Any) -> bool:
    """Whether all that a psycopg2 connection's users have set is gone, here and on the server (`DISCARD ALL`)."""
    try:
        connection.reset()
        del connection.notices[:]
    except Exception as error:  # noqa: BLE001  (a connection that cannot be cleaned is closed)
        logger.info("superset_ext: a connection to a source is closed, not kept (%s)", type(error).__name__)
        return False
    return not connection.closed
