"""The circuit breaker: leaves a server alone that does not answer, and notices by itself when it does again.

A circuit is closed while its server answers. After `failures` failures in a row it opens: every
call is then refused at once, in microseconds, and a daemon thread asks the server again every
`reset_seconds`, so that no user's request waits for it. When the server answers, the circuit is half
open: the next failure opens it again at once, the next success closes it. The states are
those of M. Nygard, «Release It!».

It is not taken from a library, because the package is mounted into containers in which nothing can be
installed beyond what Superset itself needs, and none of that has a circuit breaker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from superset_ext.compat import StrEnum
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.errors import StoreUnavailable

logger = logging.getLogger(__name__)


class State(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Circuit:
    """The circuit of one server, shared by every region and thread that uses it.

    Attributes:
        endpoint: the server as messages name it, without credentials.
        state: see `State`.
        doubtful: whether the server failed and has not been trusted since; only then need a success be noted.
        opened: times it opened.
        failed_calls: calls that reached for the server and failed.
        refused_calls: calls that were refused while it was open.
    """

    def __init__(self, endpoint: str, failures: int, reset_seconds: float) -> None:
        self.endpoint = endpoint
        self.opened = self.failed_calls = self.refused_calls = 0
        self._limit = failures
        self._reset_seconds = reset_seconds
        reset_on_fork(self)

    def reset(self) -> None:
        """Begin closed: the thread that would close it stayed with the parent."""
        self.state = State.CLOSED
        self.doubtful = False
        self._in_a_row = 0
        self._since = 0.0
        self._reason = "it is asked again by itself"
        self._lock = threading.Lock()

    def check(self) -> None:
        """Let a call through, or refuse it.

        Raises:
            StoreUnavailable: the circuit is open.
        """
        if self.state is State.OPEN:
            self.refused_calls += 1
            raise StoreUnavailable(f"{self.endpoint} is left alone since it failed: {self._reason}")

    def succeeded(self) -> None:
        """Note that the server answered."""
        with self._lock:
            self._in_a_row = 0
            if self.state is State.HALF_OPEN:
                self.state = State.CLOSED
            self.doubtful = self.state is not State.CLOSED

    def failed(self, error: Exception, probe: Callable[[], None]) -> None:
        """Note that the server failed; `probe`, which must raise while it does, finds out when that ends."""
        with self._lock:
            self.failed_calls += 1
            self._in_a_row += 1
            self.doubtful = True
            due = self.state is State.HALF_OPEN or self._in_a_row >= self._limit
            if self.state is State.OPEN or not due:
                return
            self.state = State.OPEN
            self._reason = str(error)
            self.opened += 1
            self._since = time.monotonic()
        logger.warning("superset_ext: %s. Charts go on without it; it is asked every %gs", error, self._reset_seconds)
        threading.Thread(target=self._watch, args=(probe,), name="superset-ext-circuit", daemon=True).start()

    def _watch(self, probe: Callable[[], None]) -> None:
        """Ask until the server answers; runs in a thread of the circuit's own while it is open."""
        while True:
            time.sleep(self._reset_seconds)
            try:
                probe()
            except StoreUnavailable as error:
                logger.debug("superset_ext: still away: %s", error)
                continue
            with self._lock:
                self.state, self._in_a_row = State.HALF_OPEN, 0
            away = time.monotonic() - self._since
            logger.info("superset_ext: %s answers again after %.1fs; the cache is used again", self.endpoint, away)
            return


_circuits: dict[str, Circuit] = {}


def circuit(endpoint: str, failures: int, reset_seconds: float) -> Circuit:
    """The circuit of `endpoint` in this process; the figures of the first call hold."""
    known = _circuits.get(endpoint)
    return known if known else _circuits.setdefault(endpoint, Circuit(endpoint, failures, reset_seconds))


def circuits() -> list[Circuit]:
    """Every circuit of this process, for status pages and tests."""
    return list(_circuits.values())
