"""The lease of an entry: the right, and the duty, to run its query. `single_flight` takes, renews and awaits leases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Lease:
    """The right, and the duty, to run the query of one entry.

    Attributes:
        name: the entry's Redis key.
        token: of this owner, 32 hexadecimal digits.
        as_of_us: when its read began, in microseconds of the server's time.
        last_stamp: the last stamp that the region had given by then.
        digest: what stands for the entry on the channel.
        give_back: called with the lease, and with whether its entry is stored; only the first call counts.
        is_over: whether it was given back.
        is_returned: whether Redis has it back already, since it travelled with the entry.
    """

    name: str
    token: str
    as_of_us: int
    last_stamp: int
    digest: bytes
    give_back: Callable[[Lease, bool], None]
    is_over: bool = False
    is_returned: bool = False

    def release(self, filled: bool) -> None:
        """Give the lease back; `filled` tells the waiters whether the entry is there."""
        self.give_back(self, filled)

    @contextmanager
    def handed(self) -> Iterator[None]:
        """Run a block, in another thread than the one that took the lease, as its owner."""
        token = handed_lease.set(self)
        try:
            yield
        finally:
            handed_lease.reset(token)
            self.release(filled=False)


handed_lease: ContextVar[Lease | None] = ContextVar("superset_ext_lease", default=None)


@dataclass(frozen=True, slots=True)
class Busy:
    """Another caller has the lease.

    Attributes:
        as_of_us: when their read began.
        seconds: how long it lasts, unless they renew it.
    """

    as_of_us: int
    seconds: float
