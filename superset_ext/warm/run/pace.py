"""How many requests warming makes at a time, so that it gives way to people.

By Little's law the mean number of people's queries under way is the time that they took in a window, divided by the
window. The recorder logs that time every few seconds, whatever the source database is.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable

logger = logging.getLogger(__name__)

NICENESS = 19
WINDOW_SECONDS = 15.0
LOOK_SECONDS = 5.0
_UNDER_WAY = """
SELECT coalesce(sum(response_ms_sum), 0) / %s FROM superset_ext.cache_performance_log
WHERE created_at > now() - make_interval(secs => %s) AND cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm'
"""


class Pace:
    """The number of requests that may be under way, looked up every few seconds.

    Args:
        database: the log database.
        concurrency: that number where nobody else asks.
    """

    def __init__(self, database: LogDatabase, concurrency: int) -> None:
        self._database = database
        self._concurrency = concurrency
        self._looked = -math.inf
        self._busy = 0.0

    def slots(self) -> int:
        """The concurrency less people's queries under way, but at least one."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._busy, self._looked = self._under_way(), time.monotonic()
        return max(1, self._concurrency - math.ceil(self._busy - 0.5))

    def _under_way(self) -> float:
        try:
            with self._database.transaction() as cursor:
                cursor.execute(_UNDER_WAY, (WINDOW_SECONDS * 1000, WINDOW_SECONDS))
                return float(cursor.fetchone()[0])
        except LogUnavailable:
            return self._busy


def give_way() -> None:
    """Run this thread only where nobody else wants the processor; where the system cannot do that, change nothing."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":  # elsewhere it would be the whole process's
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        except OSError as error:
            logger.info("superset_ext: warming runs at normal priority: %s", error)
