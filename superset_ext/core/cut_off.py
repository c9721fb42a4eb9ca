"""Cuts a connection on which a call has waited for too long, so that the call fails: drivers know no such limit.

A thread looks ten times a second while there are such calls. It cuts what it has seen overdue twice: a process that
stood still in between has its answer by then.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from superset_ext.core.fork_reset import reset_on_fork

TICK_SECONDS = 0.1
_REST = 100  # ticks without a call after which the thread sleeps


class CutOff:
    """Calls that wait for a server, each on a socket of its own."""

    def __init__(self) -> None:
        self._calls: dict[int, list[float]] = {}
        reset_on_fork(self)

    def reset(self) -> None:
        """Have no call under way, and no thread."""
        self._lock = threading.Lock()
        self._calls.clear()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float, descriptor: int) -> Iterator[None]:
        """Have what waits on this socket fail once `seconds` have passed."""
        if self._thread is None:
            self._start()
        self._calls[descriptor] = [time.monotonic() + seconds, 0]
        if not self._wake.is_set():
            self._wake.set()
        try:
            yield
        finally:
            with self._lock:  # once it is closed, its number may be another one's
                self._calls.pop(descriptor, None)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="superset_ext-cut-off", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(TICK_SECONDS)
            idle = 0 if self._calls else idle + 1
            if idle > _REST:
                self._wake.clear()
                if not self._calls:
                    self._wake.wait()
                idle = 0
            with self._lock:
                self._look()

    def _look(self) -> None:
        now = time.monotonic()
        for descriptor, call in list(self._calls.items()):
            if now >= call[0]:
                call[1] += 1
                if call[1] == 2:
                    _cut(descriptor)


def _cut(descriptor: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


cut_off = CutOff()
