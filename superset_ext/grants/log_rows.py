"""The rows of Superset's `logs` that answers which are given again owe.

Superset's own event logger commits a row at a time while somebody waits. Here they wait in memory and a thread writes
them together, twice a second: a process that is killed loses as much. Another event logger, which somebody has
configured, is called as Superset calls it.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.warn_once import warn
from superset_ext.host.granting import is_stock_logger, log_json, write_logs

EVERY_SECONDS = 0.5
EXIT_SECONDS = 4.0
_MOST = 50_000
_BATCH = 1000
Row = Mapping[str, Any]


class LogRows:
    """Writes what an event logger was told earlier, as if it were told now.

    Args:
        app: the Flask app, in whose context the thread works.
        logger: Superset's event logger.
    """

    def __init__(self, app: Any, logger: Any) -> None:
        self._app = app
        self._logger = logger
        self._is_own = is_stock_logger(logger)
        self._queue: BoundedQueue[Row] = BoundedQueue(_MOST)
        reset_on_fork(self)
        atexit.register(self.finish)

    def reset(self) -> None:
        """Have no thread."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def kept(self, record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What is to be kept of a record, the arguments that Superset gives to its event logger."""
        return _values(record) if self._is_own else [record]

    def tell(self, kept: Mapping[str, Any], took_ms: float, referrer: str | None) -> None:
        """Log now what was kept."""
        now = {**kept, "duration_ms": int(took_ms), "referrer": referrer}
        if not self._is_own:
            self._logger.log(**now)
            return
        self._queue.put(now | {"dttm": datetime.utcnow()})
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="superset_ext-logs", daemon=True)
                self._thread.start()

    def finish(self, seconds: float = EXIT_SECONDS) -> None:
        """Write what waits, and end the thread; wait for it so long at most."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join(seconds)
            self._stopping = threading.Event()

    def _run(self) -> None:
        stopping = self._stopping
        while not stopping.wait(EVERY_SECONDS):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        while rows := self._queue.take(_BATCH):
            try:
                if not self._is_written(rows):
                    lost = [row for row in rows if not self._is_written([row])]  # one may name a user who is gone
                    if lost:
                        warn("logs", "%d rows of Superset's logs were lost", len(lost))
            finally:
                self._queue.done(rows)

    def _is_written(self, rows: list[Row]) -> bool:
        try:
            write_logs(self._app, rows)
        except Exception as error:  # noqa: BLE001  (the thread goes on)
            warn("logs", "rows of Superset's logs could not be written together (%s)", type(error).__name__)
            return False
        return True


def _values(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows that Superset's own logger makes of a record."""
    records = record.get("records") or [payload for payload in [record.get("curated_payload")] if payload]
    return [
        {
            "action": record["action"],
            "json": log_json(part),
            "dashboard_id": record["dashboard_id"] or part.get("dashboard_id"),
            "slice_id": record["slice_id"] or part.get("slice_id"),
            "user_id": record["user_id"],
        }
        for part in records
    ]
