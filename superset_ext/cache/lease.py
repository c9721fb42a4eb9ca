"""The lease of an entry: the right, and the duty, to compute it. Who takes, renews and awaits one: `flights`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_handed: ContextVar[Lease | None] = ContextVar("superset_ext_lease", default=None)


@dataclass(slots=True, eq=False)
class Lease:
    """The right, and the duty, to run the query of one entry.

    Attributes:
        name: the entry's Redis key.
        token: of this owner, 32 hexadecimal digits.
        as_of_us: when its read began, in microseconds of the server's time.
        give_back: called once with the lease, and with whether its entry is stored.
    """

    name: str
    token: str
    as_of_us: int
    give_back: Callable[[Lease, bool], None]
    _over: bool = False

    def release(self, filled: bool) -> None:
        """Give the lease back, once; `filled` tells waiters whether the entry is there."""
        if not self._over:
            self._over = True
            self.give_back(self, filled)

    @contextmanager
    def handed(self) -> Iterator[None]:
        """Run a block, in another thread than the one that took the lease, as its owner."""
        token = _handed.set(self)
        try:
            yield
        finally:
            _handed.reset(token)
            self.release(filled=False)


def handed_lease(name: str) -> Lease | None:
    """The lease of the entry `name`, if it was handed to this thread."""
    lease = _handed.get()
    return lease if lease is not None and lease.name == name else None


@dataclass(frozen=True, slots=True)
class Busy:
    """Another caller has the lease.

    Attributes:
        as_of_us: when their read began.
        seconds: how long it lasts, unless they renew it.
    """

    as_of_us: int
    seconds: float
