"""What a listener knows and does while one connection to one database lasts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from typing import Any

import psycopg2

from superset_ext.core.warn_once import warn
from superset_ext.freshness.watch.epochs import ROUND_SECONDS, Epochs
from superset_ext.freshness.watch.owed import Beat, OwedStamps, Stamp, unsaid
from superset_ext.freshness.watch.repairs import Repairs
from superset_ext.freshness.watch.triggers import state
from superset_ext.freshness.watch.watched import Name, Watched

LOOK_SECONDS = 2.0  # between two looks at what is watched
LOOK_AT_MOST = 0.05  # seconds between two looks, whoever asks for more
BEAT_SECONDS = 5.0  # between two words that all is heard
QUEUE_FULL = 0.5  # of the queue of notifications; from here on triggers do not notify
_QUEUE_IS_FULL = "notifications wait for a session that does not read them (see pg_stat_activity), on the server"


class Session:
    """The watched tables of one database, over one connection. Used by one thread. See `epochs` for the argument.

    Args:
        connection: a psycopg2 connection that listens; see `connection.prepare`.
        database_id: Superset's id of the database.
        title: what to call it in the log.
        wanted: returns the tables to watch there.
        stamp: stamps tables.
        beat: says which tables' changes are heard, and is called every few seconds while they are.
    """

    def __init__(
        self, connection: Any, database_id: int, title: str, wanted: Callable[[], Collection[Name]], stamp: Stamp,
        beat: Beat = unsaid,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._database_id, self._title = database_id, title
        self._repairs = Repairs(connection, wanted)
        self._owed = OwedStamps(database_id, stamp)
        self._beat, self._next_beat = beat, 0.0
        self._epochs = Epochs()
        self._tables: dict[int, Watched] = {}  # by the watch's number
        self._next_look = self._next_round = self._looked = 0.0  # by the monotonic clock

    def patience(self) -> float:
        """How many seconds the next turn may wait for a notification."""
        busy = self._epochs.hot or self._epochs.cooling or self._owed or self._bare()
        return max(0.0, (self._next_round if busy else self._next_look) - time.monotonic())

    def turn(self) -> None:
        """Do what is due. Call this after each notification, and when `patience` is over.

        Raises:
            psycopg2.Error: the connection is lost.
        """
        self._drain()
        self._pay()  # what was heard waits for no look and no round
        with self._connection.cursor() as cursor:
            try:
                if time.monotonic() >= self._next_look:
                    self._look(cursor)
                if time.monotonic() >= self._next_round:
                    self._round(cursor)
                self._pay()
                self._epochs.mute_heard(cursor)
            except (psycopg2.errors.InvalidSchemaName, psycopg2.errors.UndefinedFunction):
                self._forget()  # somebody removed the last watch, and the schema with it
        self._epochs.forget_heard()
        self._say()

    def _say(self) -> None:
        """Say that all commits so far are told, once they are."""
        if self._tables and not self._owed and time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + BEAT_SECONDS
            names = {name for watched in self._tables.values() for name in (watched.name, *watched.part_of)}
            self._beat(self._database_id, names)

    def _pay(self) -> None:
        self._owed.pay({watched.name: watched.part_of for watched in self._tables.values()})

    def _bare(self) -> list[Name]:
        """The tables whose triggers are still to be made: whoever writes to them notifies nobody."""
        return [watched.name for watched in self._tables.values() if watched.relation is not None and watched.missing]

    def _forget(self) -> None:
        self._tables.clear()
        self._epochs.clear()
        self._next_look = 0.0

    def _drain(self) -> None:
        while self._connection.notifies:
            match _decoded(self._connection.notifies.pop(0).payload):
                case "list":
                    self._look_soon()
                case (int(number), int(epoch), str(schema), str(table)):
                    self._hear(number, epoch, (schema, table))

    def _hear(self, number: int, epoch: int, name: tuple[str, str]) -> None:
        """A commit has notified. Of what is not watched under this number, nothing is believed: a look will tell."""
        watched = self._tables.get(number)
        if watched is None or watched.name != name:
            self._look_soon()
            return
        self._owed.owe([watched.name])
        self._epochs.hear(number, epoch)

    def _look_soon(self) -> None:
        """Look at what is watched, at once or, where somebody asks for it all the time, a little later."""
        self._next_look = min(self._next_look, self._looked + LOOK_AT_MOST)

    def _look(self, cursor: Any) -> None:
        """Look at what is watched, whether it has changed its shape, and whether its triggers are there."""
        self._looked = time.monotonic()
        self._next_look = self._looked + LOOK_SECONDS
        stamped = self._compare(state(cursor))
        self._pay()  # before anybody else is asked, and before triggers are made, which may have to wait for a writer
        if broken := self._repairs.due(self._tables.values()):
            self._owed.owe(broken - stamped, unheard=True)
            self._repair(cursor, broken)
        cursor.execute("SELECT pg_notification_queue_usage()")
        if cursor.fetchone()[0] >= QUEUE_FULL:
            warn("watch.queue", "%s of %s", _QUEUE_IS_FULL, self._title)
            for watched in self._tables.values():
                self._gap(watched)

    def _repair(self, cursor: Any, broken: Collection[Name]) -> None:
        """Put back triggers. Each may have to wait for a lock, so what is heard meanwhile is stamped in between."""
        repaired = set()
        for name in sorted(broken):
            self._pay()
            if self._repairs.make(name):
                repaired.add(name)
            self._drain()
        if repaired:
            self._compare(state(cursor), repaired)

    def _compare(self, watches: Collection[Watched], repaired: Collection[Name] = ()) -> set[Name]:
        """Stamp what is new or has another shape; its names. What has just been repaired is no new change."""
        before, self._tables = self._tables, {watched.id: watched for watched in watches}
        for number in set(before) - set(self._tables):
            self._epochs.forget(number)
        new = [watched for watched in watches if watched.id not in before]
        same = [watched for watched in watches if watched.id in before]
        reshaped = [watched for watched in same if watched.shape != before[watched.id].shape]
        for watched in (*new, *reshaped):
            self._gap(watched, unheard=watched in new, again=watched.name in repaired)
        return {watched.name for watched in (*new, *reshaped)}

    def _gap(self, watched: Watched, unheard: bool = True, again: bool = False) -> None:
        """Anything may have happened to a table unheard."""
        self._owed.owe([watched.name], again, unheard=unheard and not again)
        self._epochs.heat(watched.id, 0)
        self._next_round = 0.0

    def _round(self, cursor: Any) -> None:
        """Owe the stamps that are due every `ROUND_SECONDS`. They are paid after this, so after the arming."""
        self._next_round = time.monotonic() + ROUND_SECONDS
        for number, again in self._epochs.next_round(cursor):
            if number in self._tables:
                self._owed.owe([self._tables[number].name], again)
        self._owed.owe(self._bare(), again=True)


def _decoded(payload: str) -> Any:
    """What a notification says, `None` if it is nothing that a trigger says.

    Anybody who may connect may notify of anything: nothing that they send may end the connection, reach a log or
    name a table that is not watched.
    """
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if message == "list":
        return message
    if not (isinstance(message, list) and len(message) == 4 and all(type(number) is int for number in message[:2])):
        return None
    return tuple(message) if 0 < message[0] < 2**31 and 0 <= message[1] < 2**63 - 1 else None
