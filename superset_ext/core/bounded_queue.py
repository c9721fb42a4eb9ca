"""What waits to be written off the request's path, bounded in number and in weight."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from superset_ext.core.fork_reset import reset_on_fork

Item = TypeVar("Item")


class BoundedQueue(Generic[Item]):
    """Items that wait to be written; an item that does not fit is dropped and counted.

    Items that were taken count against the bounds until `done` or `give_back` is called with them. A forked child
    begins with an empty queue: what waits is its parent's to write.

    Args:
        most: items.
        most_weight: of all items together; no bound where it is 0.
        weight: of one item, asked more than once.

    Attributes:
        dropped: items that did not fit, since the process began.
    """

    def __init__(self, most: int, most_weight: int = 0, weight: Callable[[Item], int] = lambda _: 0) -> None:
        self._most = most
        self._most_weight = most_weight
        self._weight = weight
        reset_on_fork(self)

    def reset(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._waiting: deque[Item] = deque()
        self._count = 0
        self._total = 0
        self._reported = 0
        self.dropped = 0

    def __len__(self) -> int:
        """Items that wait or are being written."""
        return self._count

    def put(self, item: Item) -> bool:
        """Whether there was room for the item; cheap enough for a request's path."""
        weight = self._weight(item)
        with self._lock:
            if self._count >= self._most or 0 < self._most_weight < self._total + weight:
                self.dropped += 1
                return False
            self._count += 1
            self._total += weight
            self._waiting.append(item)
            return True

    def drop(self, count: int = 1) -> None:
        """Count items as dropped that were never put, or that nobody will take."""
        with self._lock:
            self.dropped += count

    def take(self, most: int | None = None) -> list[Item]:
        """The items that have waited longest, at most so many."""
        with self._lock:
            count = len(self._waiting) if most is None else min(most, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    def done(self, items: Sequence[Item]) -> None:
        """Make room: items that were taken are written, or given up."""
        with self._lock:
            self._count -= len(items)
            self._total -= sum(map(self._weight, items))

    def give_back(self, items: Sequence[Item]) -> None:
        """Put items that were taken where they were: they could not be written."""
        with self._lock:
            self._waiting.extendleft(reversed(items))

    def newly_dropped(self) -> int:
        """Items that were dropped since this was last asked."""
        with self._lock:
            count, self._reported = self.dropped - self._reported, self.dropped
            return count
