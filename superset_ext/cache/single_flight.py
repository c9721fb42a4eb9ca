"""Single flight: of all who miss the same entry, over threads, processes and machines, one runs the query.

Whoever takes an entry's **lease** runs it. The others wait, and are woken through one channel that each process
listens to. A lease is short and is renewed while its owner lives, so that a query may take as long as it takes,
and an owner that died is missed soon. It is given back when the query failed; the waiters then run the query
themselves, since an error is nobody else's answer. The last stamp that an owner's read knew, and the time at which it
began, are its fencing token: `lua/fill.lua` lets no entry be replaced by one that was read earlier.

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

from superset_ext.cache.lease import Busy, Lease, handed_lease
from superset_ext.cache.redis.connection import AnyConnection
from superset_ext.cache.redis.node import Addressed
from superset_ext.cache.redis.scripts import LEASE, RELEASE, RENEW
from superset_ext.cache.store import FAILED, FILLED, Reading, Store
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.errors import StoreUnavailable

_LOOK_SECONDS = 1.0  # a waiter looks for itself this often, should a message be lost
_DEAF_SECONDS = 0.05  # and this often while the process does not listen
_TICK_SECONDS = 0.25
_AGAIN_SECONDS = 0.2  # before a lost connection is made again


@dataclass(slots=True, eq=False)
class Wake:
    """One who waits for an entry."""

    event: threading.Event = field(default_factory=threading.Event)
    failed: bool = False


class SingleFlight:
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
        """Begin without threads, leases and waiters: after a fork they are the parent's."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._live = False
        self._leases: dict[str, Lease] = {}
        self._waiting: dict[bytes, set[Wake]] = {}
        self._renewed = time.monotonic()

    def lease(self, name: str, reading: Reading) -> Lease:
        """A lease to be asked for after a reading: the one handed to this thread, if it is of this entry."""
        handed = handed_lease.get()
        if handed is not None and handed.name == name:
            return handed
        digest = blake2b(name.encode(), digest_size=16).digest()
        return Lease(name, os.urandom(16).hex(), reading.time_us, reading.last_stamp, digest, self.end)

    def ask(self, lease: Lease, since_us: int = 0, since_stamp: int = 0) -> tuple[Busy | None, Reading]:
        """Ask for a lease, and then for what is known of its entry.

        Args:
            since_us: another caller's lease is respected if their read began then or later,
            since_stamp: and knew this stamp.

        Returns:
            `None` if it is the caller's now, and the reading.

        Raises:
            StoreUnavailable: Redis did not answer; it may be taken all the same, and then ends by itself.
        """
        key, milliseconds = self._key(lease), int(self._seconds * 1000)
        began = (lease.token, lease.as_of_us, lease.last_stamp)
        command = ("EVALSHA", LEASE, 1, key, *began, milliseconds, since_us, since_stamp)
        reply, reading = self._store.read_after((key, command), lease.name)
        busy = None if reply[0] else Busy(int(reply[1]), max(0, int(reply[2])) / 1000)
        return busy, reading

    def begin(self, lease: Lease) -> None:
        """Renew a lease that was taken, until it ends."""
        with self._lock:
            self._leases[lease.token] = lease
        self._listening()

    def end(self, lease: Lease, filled: bool) -> None:
        """Give a lease back, once, and wake the waiters."""
        if lease.is_over:
            return
        lease.is_over = True
        with self._lock:
            self._leases.pop(lease.token, None)
        if lease.is_returned:
            return
        key, message = self._key(lease), lease.digest + (FILLED if filled else FAILED)
        with suppress(StoreUnavailable):  # it then ends by itself, and the waiters look
            self._store.ask([(key, ("EVALSHA", RELEASE, 1, key, lease.token, self._store.names.channel, message))])

    @contextmanager
    def waiting(self, lease: Lease) -> Iterator[Wake]:
        """Hear of a lease's entry from here on: before the lease is asked for, so that no message is missed."""
        wake, digest = Wake(), lease.digest
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
        """Wait until the entry's lease was given back, for at most so long."""
        wake.event.wait(min(seconds, _LOOK_SECONDS if self._live else _DEAF_SECONDS))
        wake.event.clear()

    def _key(self, lease: Lease) -> bytes:
        return self._store.names.leases + lease.name.encode()

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
        channel = self._store.names.channel
        connection = self._store.topology.node(channel, self._store.deadline()).subscribed(channel, _TICK_SECONDS)
        try:
            self._live = True
            self._wake(None, failed=False)  # earlier messages were not heard
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
            self._wake(message[:-1], message[-1:] == FAILED)

    def _wake(self, digest: bytes | None, failed: bool) -> None:
        """Wake the waiters of one entry, or with `None` all of them."""
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
            held = [(self._key(lease), lease.token) for lease in self._leases.values()]
        milliseconds = int(self._seconds * 1000)
        commands: list[Addressed] = [(key, ("EVALSHA", RENEW, 1, key, token, milliseconds)) for key, token in held]
        if commands:
            with suppress(StoreUnavailable):  # the next one may be in time
                self._store.ask(commands)
