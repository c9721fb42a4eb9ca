"""A few connections to the metadata database, for statements of one round trip whose answers may be read later.

SQLAlchemy's pool keeps a record, an event and a reset for each loan, which cost more than the statement does. And it
knows no statement that is sent now and read later, while others are at work; nor one that ends in time.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

_UNREAD_SECONDS = 0.01  # for an answer that nobody has read, before its connection is closed
_DONE, _READING = 0, 1  # what `poll` of psycopg2 says; else it writes


class NoneFree(TimeoutError):
    """All connections are in use, which says nothing of the server."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that commits each statement, and waits for none.

    Attributes:
        raw: an asynchronous connection of psycopg2.
        cursor: its only one.
        made: when it was made, by the monotonic clock.
    """

    raw: Any
    cursor: Any
    made: float

    @classmethod
    def over(cls, raw: Any) -> Connection:
        """One over a connection of psycopg2."""
        return cls(raw, raw.cursor(), time.monotonic())

    def is_free(self, seconds: float) -> bool | None:
        """Whether nothing is under way by then: what nobody wanted to read has come, and goes with the next statement.

        `None` while it has not; not where the server has refused it, or is gone.
        """
        try:
            if self.raw.isexecuting():
                wait(self.raw, seconds)
        except TimeoutError:
            return None
        except Exception:  # noqa: BLE001  (whoever asks next has another one)
            return False
        return True

    def close(self) -> None:
        """Give it up, whatever state it is in."""
        with suppress(Exception):
            self.raw.close()


def connected(make: Callable[[], Any], seconds: float) -> Any:
    """An asynchronous connection of psycopg2 to where another one leads.

    Args:
        make: makes the other one, which is given up: how to connect may be worked out each time, as a password is.

    Raises:
        TimeoutError: the server did not answer within `seconds`.
        Exception: what connecting raises.
    """
    from psycopg2 import connect

    plain = make()
    try:
        raw = connect(**plain.info.dsn_parameters, password=plain.info.password, async_=1)
    finally:
        plain.close()
    try:
        wait(raw, seconds)
    except BaseException:
        raw.close()
        raise
    return raw


def wait(raw: Any, seconds: float) -> None:
    """Wait until an asynchronous connection has done what it was asked.

    Raises:
        TimeoutError: it has not within `seconds`.
        psycopg2.Error: the server refused, or is gone.
    """
    state = raw.poll()
    until = time.monotonic() + seconds
    while state != _DONE:
        left = until - time.monotonic()
        waiting = select.poll()  # while it connects, its socket may become another one
        waiting.register(raw.fileno(), select.POLLIN if state == _READING else select.POLLOUT)
        waiting.poll(max(left, 0) * 1000)
        state = raw.poll()  # also where this process has stood still for so long: the answer may be there
        if state != _DONE and left <= 0:
            raise TimeoutError(f"the metadata database did not answer within {seconds:g} s")


class Sent:
    """A statement that is under way, to be read or dropped.

    Args:
        pool: where its connection goes afterwards.
        connection: over which nothing else is under way.
    """

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Connections, connection: Connection) -> None:
        self._pool = pool
        self._connection: Connection | None = connection

    def row(self, seconds: float) -> Any:
        """The first row of the answer.

        Raises:
            LookupError: somebody has read it.
            TimeoutError: it did not come within `seconds`.
            psycopg2.Error: the server refused, or is gone.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            raise LookupError("it was read before")
        try:
            wait(connection.raw, seconds)
            row = connection.cursor.fetchone()
        except BaseException:
            self._pool.give_up(connection)
            raise
        self._pool.give_back(connection)
        return row

    def drop(self) -> None:
        """Have nobody read it, unless somebody has. Nobody waits for it here; see `Connection.is_free`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)


class Connections:
    """At most so many connections; one that failed, or is older than `recycle` seconds, is not used again.

    Args:
        connect: makes an asynchronous connection of psycopg2, of which nothing is asked yet.
        size: how many there may be.
        patience: seconds that somebody waits for one.
        recycle: seconds that one is used for.
    """

    def __init__(self, connect: Callable[[], Any], size: int, patience: float, recycle: float) -> None:
        self._connect = connect
        self._patience = patience
        self._recycle = recycle
        self._room = BoundedSemaphore(size)
        self._waiting = 0  # who wait for one; nobody who need not have one comes before them
        self._idle: list[Connection] = []

    def send(self, sql: str, values: Any) -> Sent:
        """Send a statement.

        Raises:
            NoneFree: all connections are in use.
            Exception: what connecting raises.
        """
        if not self._room.acquire(blocking=False):
            self._wait()
        try:
            connection = self._fresh(_UNREAD_SECONDS) or Connection.over(self._connect())
        except BaseException:
            self._room.release()
            raise
        return self._sent(connection, sql, values)

    def send_now(self, sql: str, values: Any) -> Sent | None:
        """Send a statement if a connection waits for one; nobody waits here."""
        if self._waiting > 0 or not self._room.acquire(blocking=False):
            return None
        connection = self._fresh(0.0)
        if connection is None:
            self._room.release()
            return None
        with suppress(Exception):  # it was closed while nobody used it: whoever asks again makes another one
            return self._sent(connection, sql, values)
        return None

    def _wait(self) -> None:
        self._waiting += 1
        try:
            if not self._room.acquire(timeout=self._patience):
                raise NoneFree(f"no connection to the metadata database was free within {self._patience:g} s")
        finally:
            self._waiting -= 1

    def _sent(self, connection: Connection, sql: str, values: Any) -> Sent:
        try:
            connection.cursor.execute(sql, values)
        except BaseException:
            self.give_up(connection)
            raise
        return Sent(self, connection)

    def give_back(self, connection: Connection) -> None:
        """Have a connection used again, unless its statement is still under way then."""
        self._idle.append(connection)
        self._room.release()

    def give_up(self, connection: Connection) -> None:
        """Have a connection not used again."""
        connection.close()
        self._room.release()

    def _fresh(self, seconds: float) -> Connection | None:
        """An idle connection, the one that was used last; `None` where there is none.

        Args:
            seconds: for which an answer is waited for that nobody has read; where that is 0 it may come later.
        """
        oldest = time.monotonic() - self._recycle
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                is_free = connection.made >= oldest and connection.is_free(seconds)
                if is_free:
                    return connection
                if is_free is None and not seconds:
                    self._idle.insert(0, connection)
                    return None
                connection.close()
        return None

    def dispose(self) -> None:
        """Close those that nobody uses."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
