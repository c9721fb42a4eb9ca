"""Events of Superset's `logs` that wait in memory, and the thread that writes them, off the path of requests.

An event waits for at most so many seconds, or until `BATCH` of them wait. One that finds no room, or a process that
ends, is refused: the caller writes it. While the metadata database is away, events wait for it. The end of the process
writes what waits. A forked child begins with nothing: what waits is its parent's to write.
"""

from __future__ import annotations

import logging
import threading

from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.fork_reset import quiet_while_forking, reset_on_fork
from superset_ext.core.process_end import ProcessEnd
from superset_ext.core.signals import count_failure
from superset_ext.core.warn_once import warn
from superset_ext.host.event_rows import Event, write

logger = logging.getLogger(__name__)

BATCH = 500  # events of one transaction
MOST = 10_000  # events that wait
MOST_BYTES = 16 * 1024**2  # of their JSON
FIRST_RETRY_SECONDS = 0.25
LAST_RETRY_SECONDS = 2.0
EXIT_SECONDS = 4.0
FORK_SECONDS = 1.0


class EventWriter:
    """Writes events in batches.

    Args:
        seconds: for which an event waits at most.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._queue = BoundedQueue[Event](MOST, MOST_BYTES, lambda event: event.size)
        self._end = ProcessEnd(self.finish)
        reset_on_fork(self)
        quiet_while_forking(self)

    def reset(self) -> None:
        """Have no thread, and nobody who waits for it."""
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._wake = threading.Event()  # something waits, or the process ends
        self._hurry = threading.Event()  # what waits is to be written now
        self._thread: threading.Thread | None = None
        self._ending = False
        self._taken = self._over = 0  # events that were taken over, and those of them that wait no more

    def __len__(self) -> int:
        """Events that wait or are being written."""
        return len(self._queue)

    def put(self, event: Event) -> bool:
        """Take an event over, and return at once; whether it was, else the caller has to write it."""
        with self._changed:
            if self._ending or not self._is_running() or not self._queue.put(event):
                return False
            self._taken += 1
        self._wake.set()
        if len(self._queue) >= BATCH:
            self._hurry.set()
        return True

    def _is_running(self) -> bool:
        """Whether there is a thread; one that cannot be started, as at the end of the process, is none."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="superset_ext-events", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
            self._end.listen()
        return True

    def flush(self, patience: float) -> bool:
        """Have all that waits written now; whether it was, within so many seconds."""
        if threading.current_thread() is self._thread:
            return False
        with self._changed:
            until = self._taken
            self._hurry.set()
            self._wake.set()
            return self._changed.wait_for(lambda: self._over >= until, patience)

    def finish(self) -> None:
        """Have the thread write what waits, and wait for it a few seconds; take nothing over any more."""
        with self._changed:
            self._ending = True
            thread, self._thread = self._thread, None
        if thread is None:
            return
        self._end.unlisten()
        self._hurry.set()
        self._wake.set()
        thread.join(EXIT_SECONDS)
        if len(self):
            logger.warning(
                "superset_ext: %d events are not in Superset's logs, because the process ends while the metadata "
                "database is away",
                len(self),
            )

    def pause(self) -> bool:
        """Wait a little for a transaction to end, and let none begin."""
        return self._writing.acquire(timeout=FORK_SECONDS)

    def resume(self) -> None:
        """Let transactions begin again."""
        self._writing.release()

    def _run(self) -> None:
        wait, retry = self._seconds, FIRST_RETRY_SECONDS
        while True:
            self._wake.wait()
            self._hurry.wait(wait)
            self._wake.clear()
            self._hurry.clear()
            is_last = self._ending
            if self._write_all():
                wait, retry = self._seconds, FIRST_RETRY_SECONDS
            else:
                wait, retry = retry, min(retry * 2, LAST_RETRY_SECONDS)
                self._wake.set()
            if is_last:
                return

    def _write_all(self) -> bool:
        """Write until nothing waits; whether nothing is left that has to be tried again."""
        while events := self._queue.take(BATCH):
            with self._writing:
                left = self._written(events)
            self._queue.give_back(left)
            self._note_over([event for event in events if not any(event is other for other in left)])
            if left:
                return False
        self._tell_of_full_queue()
        return True

    def _written(self, events: list[Event]) -> list[Event]:
        """Write events; those that are left."""
        try:
            return write(events)
        except Exception as error:  # noqa: BLE001  (whatever it is, the thread must live on and the events be kept)
            count_failure("writing Superset's logs", error)
            return events

    def _note_over(self, events: list[Event]) -> None:
        self._queue.done(events)
        with self._changed:
            self._over += len(events)
            self._changed.notify_all()

    def _tell_of_full_queue(self) -> None:
        if refused := self._queue.newly_dropped():
            warn("full event queue", "%d events were written to Superset's logs by the requests themselves, because "
                 "%d waited already", refused, MOST)  # fmt: skip
