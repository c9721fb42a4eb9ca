"""What is to be done when a process ends in order."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any


class ProcessEnd:
    """Calls a function at the end of the process, and of each child that is forked from it.

    Args:
        finish: called once or more; it must end soon.
    """

    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish

    def listen(self) -> None:
        """Call it from now on."""
        from celery.signals import worker_process_shutdown, worker_shutdown

        atexit.register(self._finish)
        # A prefork child of Celery ends without atexit.
        worker_process_shutdown.connect(self._on_shutdown, weak=False)
        worker_shutdown.connect(self._on_shutdown, weak=False)

    def unlisten(self) -> None:
        """Call it no more."""
        from celery.signals import worker_process_shutdown, worker_shutdown

        atexit.unregister(self._finish)
        worker_process_shutdown.disconnect(self._on_shutdown)
        worker_shutdown.disconnect(self._on_shutdown)

    def _on_shutdown(self, **_: Any) -> None:
        self._finish()
