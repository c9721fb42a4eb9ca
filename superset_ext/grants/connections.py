"""A few connections to the metadata database, each with its cursor, for statements of one round trip.

SQLAlchemy's pool keeps a record, an event and a reset for each loan, which cost more than the statement does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that commits each statement.

    Attributes:
        descriptor: of its socket.
        made: when it was made, by the monotonic clock.
    """

    raw: Any
    cursor: Any
    descriptor: int
    made: float

    @classmethod
    def over(cls, raw: Any) -> Connection:
        """One over a connection of psycopg2."""
        raw.autocommit = True
        return cls(raw, raw.cursor(), raw.fileno(), time.monotonic())

    def close(self) -> None:
        """Give it up, whatever state it is in."""
        with suppress(Exception):
            self.raw.close()


class Connections:
    """At most so many connections; one that failed, or is older than `recycle` seconds, is not used again.

    Args:
        connect: makes a connection of psycopg2.
        size: how many there may be.
        wait: seconds that somebody waits for one.
        recycle: seconds that one is used for.
    """

    def __init__(self, connect: Callable[[], Any], size: int, wait: float, recycle: float) -> None:
        self._connect = connect
        self._wait = wait
        self._recycle = recycle
        self._room = BoundedSemaphore(size)
        self._idle: list[Connection] = []

    @contextmanager
    def lent(self) -> Iterator[Connection]:
        """A connection for a while.

        Raises:
            TimeoutError: all are in use.
            Exception: what connecting raises.
        """
        if not self._room.acquire(timeout=self._wait):
            raise TimeoutError(f"no connection to the metadata database was free within {self._wait:g} s")
        try:
            connection = self._fresh() or Connection.over(self._connect())
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
        finally:
            self._room.release()

    def _fresh(self) -> Connection | None:
        """An idle connection, the one that was used last; `None` where there is none."""
        oldest = time.monotonic() - self._recycle
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if connection.made >= oldest:
                    return connection
                connection.close()
        return None

    def dispose(self) -> None:
        """Close those that nobody uses."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
