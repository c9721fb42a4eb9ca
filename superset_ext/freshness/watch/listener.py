"""Listens to every database that has watched tables, and connects again whenever that is needed."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.core.signals import attempt, harmless
from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable, SupersetExtError, UnknownDatabase
from superset_ext.freshness.watch.connection import check_that_it_hears, prepare
from superset_ext.freshness.watch.owed import Beat, Stamp, unsaid
from superset_ext.freshness.watch.session import LOOK_SECONDS, Session
from superset_ext.freshness.watch.watched import Name

logger = logging.getLogger(__name__)

STEADY_SECONDS = 2.0  # a connection that lasted longer was a good one
LONGEST_PAUSE = 30.0  # seconds between two attempts to connect
_END_SECONDS = 5.0  # that a thread has to end

Wanted = Callable[[], Mapping[int, Collection[Name]]]
Connect = Callable[[int], AbstractContextManager[Any]]
Retire = Callable[[Collection[int]], None]
Title = Callable[[int], str]


def untitled(number: int) -> str:
    """What to call a database of which only the id is known."""
    return f"database {number}"


class StopRequest:
    """A request to stop, made once and for good. A signal handler may make it, unlike `threading.Event.set`."""

    def __init__(self) -> None:
        self._sender, self._receiver = socket.socketpair()
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """A file that can be read from once the request is made."""
        return self._receiver.fileno()

    def make(self) -> None:
        """Make the request."""
        with suppress(BlockingIOError):
            self._sender.send(b"!")

    def is_made(self, seconds: float = 0.0) -> bool:
        """Whether the request has been made, or is made within so many seconds."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            return bool(selector.select(seconds))


class Listener:
    """Listens to all watched databases, each in a thread of its own, until it is stopped.

    Any number of listeners may run at a time; each of them stamps every change.

    Args:
        wanted: returns the tables to watch, by Superset's id of their database. It is called every two seconds, from
            any thread. While it raises `LogUnavailable`, its last answer counts.
        connect: opens a psycopg2 connection to a database, and closes it. Whatever it raises means: try again later.
        stamp: stamps tables; it is called from any thread.
        beat: says that changes of tables are heard; likewise.
        retire: called every two seconds with the databases that are watched: none else is expected to be heard.
        title: what to call a database in the log.
    """

    def __init__(
        self,
        wanted: Wanted,
        connect: Connect,
        stamp: Stamp,
        beat: Beat = unsaid,
        retire: Retire = lambda _: None,
        title: Title = untitled,
    ) -> None:
        self._wanted = wanted
        self._retire = retire
        self._connect = connect
        self._stamp, self._beat, self._title = stamp, beat, title
        self._stop = StopRequest()
        self._threads: dict[int, DatabaseListener] = {}

    def run(self) -> None:
        """Listen until `stop` is called."""
        try:
            self._tend()
            while not self._stop.is_made(LOOK_SECONDS):
                self._tend()
        finally:
            self._end(list(self._threads))

    def stop(self) -> None:
        """Make `run` return soon. Safe in a signal handler and from any thread."""
        self._stop.make()

    def _tend(self) -> None:
        try:
            wanted = {number for number, names in self._wanted().items() if names}
        except LogUnavailable as error:
            warn("watch.wanted", "the tables to watch cannot be read, so those of before are watched: %s", error)
            return
        self._end([number for number in self._threads if number not in wanted])
        for number in wanted - set(self._threads):
            self._threads[number] = DatabaseListener(
                number, self._wanted, self._connect, self._stamp, self._beat, self._title
            )
            self._threads[number].start()
        attempt(self._retire, wanted)

    def _end(self, numbers: Collection[int]) -> None:
        threads = [self._threads.pop(number) for number in numbers]
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(_END_SECONDS)


class DatabaseListener(threading.Thread):
    """Listens to one database, and connects again for ever. The arguments are those of `Listener`."""

    def __init__(
        self,
        database_id: int,
        wanted: Wanted,
        connect: Connect,
        stamp: Stamp,
        beat: Beat = unsaid,
        title: Title = untitled,
    ) -> None:
        super().__init__(name=f"watch-{database_id}", daemon=True)
        self._database_id = database_id
        self._wanted = wanted
        self._connect = connect
        self._stamp, self._beat, self._title = stamp, beat, title
        self._stop_request = StopRequest()

    def stop(self) -> None:
        """End soon."""
        self._stop_request.make()

    def run(self) -> None:
        pause = 0.0
        while not self._stop_request.is_made(pause):
            began = time.monotonic()
            try:
                with self._connect(self._database_id) as connection:
                    self._listen(connection)
            except Exception as error:  # noqa: BLE001  (a tunnel or a driver raises what it likes; it is tried again)
                steady = time.monotonic() - began > STEADY_SECONDS
                pause = 0.0 if steady else min(LONGEST_PAUSE, pause * 2 + 0.25)
                self._warn(error, pause)
                if isinstance(error, UnknownDatabase):
                    self._give_up()

    def _give_up(self) -> None:
        """Superset has no such database any more, so that nobody reads from it: nothing of it is to be distrusted."""
        with harmless("saying that a watched database is gone"):
            self._beat(self._database_id, ())

    def _warn(self, error: Exception, pause: float) -> None:
        known = isinstance(error, SupersetExtError | psycopg2.Error)
        text = first_line(error)
        warn(
            f"watch.{self._database_id}",
            "%s is not listened to (%s); all its watched tables are stamped once it is, next try in %.1f s",
            self._title(self._database_id), text if known else f"{type(error).__name__}: {text}", pause,
        )  # fmt: skip
        logger.debug("superset_ext: database %d", self._database_id, exc_info=error)

    def _listen(self, connection: Any) -> None:
        """Listen until asked to stop.

        Raises:
            WatchError: this connection will never hear anything.
            psycopg2.Error: the connection is lost.
        """
        prepare(connection)
        with self._connect(self._database_id) as other:
            check_that_it_hears(connection, other)
        title = self._title(self._database_id)
        logger.info("superset_ext: listening to %s", title)
        session = Session(connection, self._database_id, title, self._names, self._stamp, self._beat)
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._stop_request, selectors.EVENT_READ)
            while not self._stop_request.is_made():
                if not connection.notifies:
                    selector.select(session.patience())
                connection.poll()
                session.turn()

    def _names(self) -> Collection[Name]:
        return self._wanted().get(self._database_id, ())
