"""Counts the outcomes of the regions, and writes the counts to the log every few seconds.

A request takes one lock and changes one dictionary. A thread of the process does the rest; it starts with the first
count. A forked child starts a thread of its own, without its parent's counts.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from superset_ext.compat import UTC
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.log_database import MISSING, LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.events import Outcome, outcome
from superset_ext.monitor.log.counts import Batch, Key
from superset_ext.monitor.log.retention import maintain
from superset_ext.monitor.log.servers import Sampler
from superset_ext.monitor.log.writer import write
from superset_ext.settings import Settings

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.25
LAST_RETRY_SECONDS = 2.0  # with two seconds to connect, an outage's end is noticed within five
EXIT_SECONDS = 4.0
FORK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """The state of the recorder of this process.

    Attributes:
        pending: rows in memory that are not in the log yet.
        overflows: how often counts lost their ids since the process began, because `recorder_max_rows` was reached.
        failures: flushes that failed since the process began.
        last_flush: when rows were last written.
        last_error: class of the error of the last flush; `None` if it succeeded.
    """

    pending: int
    overflows: int
    failures: int
    last_flush: datetime | None
    last_error: str | None


class Recorder:
    """Counts outcomes by region, dataset, chart, dashboard and channel.

    Args:
        database: where the rows go.
        settings: `recorder_flush_seconds` and `recorder_max_rows`, and those of `retention.maintain`.
        sampler: called once a flush in the recorder's thread; returns the memory and evictions of each server.
        beside: what else writes to the log: called in order in the recorder's thread after each flush that succeeded.
            More may be added before the start.
    """

    def __init__(
        self,
        database: LogDatabase,
        settings: Settings,
        sampler: Sampler | None = None,
        beside: Iterable[Callable[[], None]] = (),
    ) -> None:
        self._database = database
        self._settings = settings
        self._sampler = sampler
        self.beside = list(beside)
        self._last_flush: datetime | None = None
        reset_on_fork(self)
        _recorders.add(self)

    def reset(self) -> None:
        """Have no counts and no thread."""
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._batch = Batch(self._settings.recorder_max_rows)
        self._writing: Batch | None = None
        self._overflows = 0
        self._failures = 0
        self._last_error: str | None = None

    def start(self) -> None:
        """Count from now on; the end of the process flushes."""
        from celery.signals import worker_process_shutdown, worker_shutdown

        outcome.connect(self._record, weak=False)
        atexit.register(self.finish)
        # A prefork child of Celery ends without atexit.
        worker_process_shutdown.connect(self._on_shutdown, weak=False)
        worker_shutdown.connect(self._on_shutdown, weak=False)

    def stop(self) -> None:
        """Stop counting, and write the counts."""
        from celery.signals import worker_process_shutdown, worker_shutdown

        outcome.disconnect(self._record)
        atexit.unregister(self.finish)
        worker_process_shutdown.disconnect(self._on_shutdown)
        worker_shutdown.disconnect(self._on_shutdown)
        self.finish()

    def _on_shutdown(self, **_: Any) -> None:
        self.finish()

    def _record(self, _sender: str, event: Outcome) -> None:
        scope = event.scope
        key = (
            Key(event.region)
            if scope is None
            else Key(event.region, scope.dataset_id, scope.chart_id, scope.dashboard_id, scope.channel)
        )
        with self._lock:
            if self._thread is None:
                self._begin()
            self._batch.row(key).add(event)

    def begin(self) -> None:
        """Start the thread, even if there is nothing to count, for what is written beside the counts."""
        with self._lock:
            if self._thread is None:
                self._begin()

    def _begin(self) -> None:
        self._batch.started = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopping,), name="superset_ext-recorder", daemon=True
        )
        self._thread.start()

    def _run(self, stopping: threading.Event) -> None:
        every = delay = self._settings.recorder_flush_seconds
        retry = FIRST_RETRY_SECONDS
        while not stopping.wait(delay):
            if self.flush():
                delay, retry = every, FIRST_RETRY_SECONDS
            else:
                delay, retry = min(retry, every), min(retry * 2, LAST_RETRY_SECONDS)
        self.flush()

    def finish(self) -> None:
        """Have the thread write the counts, and wait for it a few seconds.

        The thread writes, and not the caller: a connection that hangs must not delay the end of the process.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        thread.join(EXIT_SECONDS)
        if self.status().pending:
            logger.warning(
                "superset_ext: %d rows of the log were lost, because the process ends while the log database is away",
                self.status().pending,
            )

    def flush(self) -> bool:
        """Write the counts in one transaction; return whether that succeeded.

        Counts that are not written are kept for the next flush.
        """
        with self._flushing:
            # A batch that is left from the last time was in doubt: it is written again unchanged.
            done = self._write(self._writing) and self._write(self._take())
        for beside in self.beside if done else ():
            self._write_beside(beside)
        return done

    def _write_beside(self, beside: Callable[[], None]) -> None:
        try:
            self._beside_or_make(beside)
        except Exception as error:  # noqa: BLE001  (whatever it is, the counts must go on)
            logger.warning("superset_ext: what belongs beside the counts was not written: %s", error)

    def _beside_or_make(self, beside: Callable[[], None]) -> None:
        """Write; if a table is missing, because an earlier version made the others, make it for the next time."""
        try:
            beside()
        except LogUnavailable as error:
            if error.sqlstate not in MISSING:
                raise
            self._database.apply_schema()

    def _take(self) -> Batch:
        fresh = Batch(self._settings.recorder_max_rows)
        with self._lock:
            batch = self._writing = self._batch
            self._batch = fresh
        batch.ended = fresh.started
        return batch

    def _write(self, batch: Batch | None) -> bool:
        new_day = False
        try:
            if batch is not None and batch.rows:
                new_day = self._write_or_make(batch)
                self._succeeded(batch)
        except Exception as error:  # noqa: BLE001  (whatever it is, the thread must live on and the counts be kept)
            self._failed(error)
            self._give_back()
            return False
        self._writing = None
        if new_day:
            self._maintain()
        return True

    def _give_back(self) -> None:
        """Add a batch that is certainly not written to what was counted meanwhile."""
        with self._lock:
            if self._writing is not None and not self._writing.in_doubt:
                self._batch.absorb(self._writing)
                self._writing = None

    def _write_or_make(self, batch: Batch) -> bool:
        """Write; if the tables do not exist yet, make them first, so that the log needs no deployment step."""
        try:
            return write(self._database, self._settings, batch, self._sampler)
        except LogUnavailable as error:
            if error.sqlstate not in MISSING:
                raise
        self._database.apply_schema()
        return write(self._database, self._settings, batch, self._sampler)

    def _maintain(self) -> None:
        """Do the work of beat at the first flush of a day: without beat, the log would grow without end."""
        try:
            maintain(self._database, self._settings)
        except LogUnavailable as error:
            logger.warning("superset_ext: old days of the log were not dropped: %s", error)

    def _failed(self, error: Exception) -> None:
        if self._last_error is None:
            logger.warning("superset_ext: counts are kept in memory, because the log takes none: %s", error)
        self._last_error = error.cause if isinstance(error, LogUnavailable) else type(error).__name__
        self._failures += 1

    def _succeeded(self, batch: Batch) -> None:
        if self._last_error is not None:
            logger.info("superset_ext: the log takes counts again; the totals are complete")
        self._last_error = None
        self._last_flush = datetime.now(UTC)
        self._overflows += batch.overflows

    def status(self) -> RecorderStatus:
        """The state of this process: what it has not written yet, and how the last flush went."""
        with self._lock:
            batches = [self._batch] + ([self._writing] if self._writing else [])
            return RecorderStatus(
                pending=sum(len(batch.rows) for batch in batches),
                overflows=self._overflows + sum(batch.overflows for batch in batches),
                failures=self._failures,
                last_flush=self._last_flush,
                last_error=self._last_error,
            )


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()
_forking = threading.local()


def _before_fork() -> None:
    """Wait a little for flushes to end: a lock of imports, SQLAlchemy or TLS would stay locked in the child."""
    _forking.held = [recorder for recorder in list(_recorders) if recorder._flushing.acquire(timeout=FORK_SECONDS)]


def _after_fork_in_parent() -> None:
    for recorder in _forking.held:
        recorder._flushing.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
