"""Refreshes in the background what was given although it was old: the same request, as the same user.

A few threads of the web process do it, one for each request at most, so that nobody waits and no worker is needed.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from flask import Flask, has_request_context
from flask import request as asked

from superset_ext.cache.lease import Lease
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.warn_once import warn
from superset_ext.host.people import Identity, current_identity
from superset_ext.host.scope import is_warming
from superset_ext.package import this_app
from superset_ext.warm.registry.capture import chart_request
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.run.replay import replay

THREADS = 2
WAITING = 50  # refreshes that may wait for a thread; beyond that the reader runs the query, as without grace


@dataclass(frozen=True, slots=True)
class _Work:
    app: Flask
    request: ChartRequest
    identity: Identity
    lease: Lease


def _work(lease: Lease) -> _Work | None:
    """The current request, if it can be asked again."""
    request = chart_request(asked) if has_request_context() and not is_warming() else None
    return _Work(this_app(), request, current_identity(), lease) if request else None


class Refresher:
    """The threads of this process that refresh."""

    def __init__(self) -> None:
        reset_on_fork(self)

    def reset(self) -> None:
        """Begin with threads of this process's own."""
        self._threads = ThreadPoolExecutor(THREADS, "superset_ext-refresh")
        self._room = threading.BoundedSemaphore(WAITING)

    def take(self, lease: Lease) -> bool:
        """Refresh the entry of a lease, if the current request can be asked again, and return whether that will be."""
        try:
            work = _work(lease)
        except Exception as error:  # noqa: BLE001  (somebody waits for an answer, which they then compute)
            warn("refresh", "an old answer is not refreshed in the background (%s)", type(error).__name__)
            return False
        if work is None or not self._room.acquire(blocking=False):
            return False
        try:
            self._threads.submit(self._run, work)
        except RuntimeError:  # the process ends
            self._room.release()
            return False
        return True

    def _run(self, work: _Work) -> None:
        try:
            with work.lease.handed():
                result = replay(work.app, work.request, work.identity)
            if result.error:
                warn("refresh", "an old answer could not be refreshed (%s); it goes when its grace ends", result.error)
        finally:
            self._room.release()
