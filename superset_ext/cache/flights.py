"""Single flight: of all who miss the same entry, over threads, processes and machines, one runs the query.

Whoever takes an entry's **lease** runs it; the others wait, and are woken through one channel that each process
listens to. The lease is short and renewed while its owner lives, so that a query may take as long as it takes,
and an owner that died is missed soon. It is given back when the query failed; whoever waited then asks for
themselves, since an error is nobody else's answer. The time at which an owner's read began is its fencing token:
`lua/fill.lua` lets no entry be replaced by one that was read earlier.

The algorithm is that of leases in Facebook's memcache (Nishtala et al., NSDI 2013), with a wake-up in place of
their clients' retries.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b

from redis.exceptions import RedisError

from superset_ext.cache.lease import Lease, handed_lease
from superset_ext.cache.redis.connection import AnyConnection
from superset_ext.cache.store import Store
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.errors import StoreUnavailable

SAME_CLICK_US = 2_000_000  # forced reads within this time are taken for one: both want what is true now
_LOOK_SECONDS = 1.0  # a waiter looks for itself this often, should a message be lost
_DEAF_SECONDS = 0.05  # and this often while nobody listens for it
_TICK_SECONDS = 0.25
_AGAIN_SECONDS = 0.2  # before a lost connection is made again
_FILLED, _FAILED = b"1", b"0"


@dataclass(slots=True, eq=False)
class Wake:
    """One who waits for an entry."""

    event: threading.Event = field(default_factory=threading.Event)
    failed: bool = False


class Flights:
    """The leases of one region that this process has, and those that it waits for.

    Args:
        store: where they are.
        seconds: how long one lasts after its owner has died.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        reset_on_fork(self)

    def reset(self) -> None:
        """Begin anew, as a child does after a fork: its parent's threads, leases and waiters are not its own."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._live = False
        self._leases: dict[str, Lease] = {}
        self._waiting: dict[bytes, set[Wake]] = {}
        self._renewed = time.monotonic()

    def lease(self, name: str, as_of_us: int) -> Lease:
        """A lease to be asked for: the one handed to this thread, where it is of this entry."""
        return handed_lease(name) or Lease(name, os.urandom(16).hex(), as_of_us, self.end)

    def begin(self, lease: Lease) -> None:
        """Renew a lease that was taken, until it ends."""
        with self._lock:
            self._leases[lease.token] = lease
        self._listening()

    def end(self, lease: Lease, filled: bool) -> None:
        """Give a lease back, and wake those who wait."""
        with self._lock:
            self._leases.pop(lease.token, None)
        with suppress(StoreUnavailable):  # it then ends by itself, and who waits looks
            self._store.release(lease.name, lease.token, _digest(lease.name) + (_FILLED if filled else _FAILED))

    @contextmanager
    def waiting(self, name: str) -> Iterator[Wake]:
        """Be told of an entry from here on: before its lease is asked for, so that no message is missed."""
        wake, digest = Wake(), _digest(name)
        self._listening()
        with self._lock:
            self._waiting.setdefault(digest, set()).add(wake)
        try:
            yield wake
        finally:
            with self._lock:
                left = self._waiting.get(digest, set())
                left.discard(wake)
                if not left:
                    self._waiting.pop(digest, None)

    def wait(self, wake: Wake, seconds: float) -> None:
        """Wait until the entry's lease was given back, and at most so long."""
        wake.event.wait(min(seconds, _LOOK_SECONDS if self._live else _DEAF_SECONDS))
        wake.event.clear()

    def _listening(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="superset_ext-flight", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        own = threading.current_thread()
        while self._thread is own:
            try:
                self._listen(own)
            except (RedisError, OSError, StoreUnavailable):
                self._live = False
                self._renew()
                time.sleep(_AGAIN_SECONDS)

    def _listen(self, own: threading.Thread) -> None:
        connection = self._store.subscribed(_TICK_SECONDS)
        try:
            self._live = True
            self._tell(None, failed=False)  # what was said before was not heard
            while self._thread is own:
                if connection.hears(_TICK_SECONDS):
                    self._hear(connection)
                self._renew()
        finally:
            self._live = False
            connection.shut()

    def _hear(self, connection: AnyConnection) -> None:
        message = connection.heard()
        if message is not None:
            self._tell(message[:-1], message[-1:] == _FAILED)

    def _tell(self, digest: bytes | None, failed: bool) -> None:
        with self._lock:
            groups = list(self._waiting.values()) if digest is None else [self._waiting.get(digest, set())]
            wakes = [wake for group in groups for wake in group]
        for wake in wakes:
            wake.failed = wake.failed or failed
            wake.event.set()

    def _renew(self) -> None:
        """Once in a third of their time, so that two may fail before one is lost."""
        if time.monotonic() - self._renewed < self._seconds / 3:
            return
        self._renewed = time.monotonic()
        with self._lock:
            held = list(self._leases.values())
        with suppress(StoreUnavailable):  # the next one may be in time
            self._store.renew([(lease.name, lease.token) for lease in held], int(self._seconds * 1000))


def _digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()
