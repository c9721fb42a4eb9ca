"""Hears of commits to watched tables, and tells of each of them after it has happened.

**What is promised.** For every commit that changes a watched table, `stamp` is called for this table after the
commit: within milliseconds where it notifies, within `TURN_SECONDS` and the time that the calls take where it does
not, and after a gap once the listener is connected again. Nobody's clock is part of the argument.

**How.** A NOTIFY in every commit would serialise all commits, so nearly none has one. Each watched table has an
*epoch*, a number in a sequence: it changes at once and for everybody, whatever becomes of a transaction.

- *Armed* (even): the trigger notifies, with the epoch, unless its session has done so in this epoch before. It keeps
  the epoch in a setting of the session, which is rolled back where the notification is, savepoints included.
- *Muted* (odd): the trigger does nothing. `mute` turns an epoch that was notified of into the odd one after it, if it
  is still the epoch.

A table that the listener hears of is **hot**: it is stamped and muted, and stamped again every 50 ms. After a second
it is *armed*, which begins a new epoch. After that its **writers** are asked for: the transactions that hold a lock
on it or its parts that writing takes. It is stamped once more, and again whenever one of those has ended; when all of
them have, it is cold.

**Why no commit is missed.** A statement of transaction X changes a table and its trigger reads the epoch e; X commits
later. X has had its writer's lock since before it read e, and keeps it until everybody can see what it did.

1. The trigger notifies. That is heard when everybody can see what X did, and a stamp follows.
2. It does not, since its session has notified in e before. That was X itself, which is case 1, or has committed.
3. It does not, since e is odd. Then a listener has muted e - 1, of which a commit had notified.

In 2 and 3 every listener that listened at that commit hears of it, and the table is hot from then on until an arming.
X read e before that arming: after it there is another epoch, which that session has not notified in (2), and which
`mute`, since it compares, does not turn into e (3). The writers are asked for after the arming. Either X had ended
by then, and the stamp that follows comes after its commit; or X is among them, and there is a stamp after its end. So
X may notify at 0.0 s, write again in a new transaction at 0.9 s without a word, and commit at 5 s. A transaction that
is prepared holds its locks under another name, which is why all prepared ones among the writers count. One that has
notified cannot be prepared, which is why `watch add` asks whether anybody prepares any.

4. A listener that connects, for the first time or again, has heard nothing. It listens, then arms every table, then
   asks for the writers and stamps all. Who read an epoch before the arming has ended by then or is a writer; who
   reads one later is in cases 1 to 3. Of two listeners, neither's muting can undo the other's arming.
5. Triggers that are missing (a part was attached, a table was made anew, as dbt does) are seen by looking every
   `LOOK_SECONDS`, as is all DDL. Making one waits for all writers, so the stamp after it covers what they did. While
   one cannot be made, every attempt stamps, and says why.

A stamp that fails is owed, and tried every turn. What fires no trigger is not heard of: logical replication, foreign
tables, rows written while an owner had the triggers disabled (that this was done is seen as DDL).
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable, StoreUnavailable, SupersetExtError, WatchError
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.watch import triggers as watch
from superset_ext.freshness.watch.triggers import Name, Watched
from superset_ext.sqltables.table import Table

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.05
HOT_SECONDS = 1.0
LOOK_SECONDS = 2.0
STEADY_SECONDS = 2.0  # a connection that lasted longer was a good one
LONGEST_PAUSE = 30.0  # between two attempts to connect
LONGEST_REPAIR_PAUSE = 60.0  # and between two to put triggers back: writers wait while we wait for a lock
REPAIR_PATIENCE = 0.1  # seconds; nothing is stamped meanwhile
HEARD_SECONDS = 5.0  # in which a connection must hear what another one notifies
MANY_WRITERS = 2  # that come within TURN_SECONDS
QUEUE_FULL = 0.5  # of the queue of notifications; from here on triggers do not notify
_QUEUE_IS_FULL = "notifications wait for a session that does not read them (see pg_stat_activity), on the server"
# A server that is gone without a word is noticed in about five seconds, and a listener by the server in a few more.
_SESSION = """
SET statement_timeout = '5s'; SET lock_timeout = '5s'; SET synchronous_commit = off;
SET default_transaction_read_only = off; SET client_min_messages = warning;
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SELECT set_config('application_name', %s, false);
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'
"""
_KEEPALIVE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 5000}

Wanted = Callable[[], Mapping[int, Collection[Name]]]
Connect = Callable[[int], AbstractContextManager[Any]]


class Stamp(Protocol):
    """What tells the caches; it may raise `StoreUnavailable`."""

    def __call__(self, tables: Collection[SourceTable], again: bool) -> None:
        """
        Args:
            tables: of one database, what changed and what that is a part of.
            again: whether this is one more word on a change that was told already.
        """
        ...


class Bell:
    """Rings once, for good; unlike an event of `threading` a handler of a signal may ring it."""

    def __init__(self) -> None:
        self._hand, self._ear = socket.socketpair()
        self._hand.setblocking(False)

    def fileno(self) -> int:
        """What can be read from once it has rung."""
        return self._ear.fileno()

    def ring(self) -> None:
        """Ring."""
        with suppress(BlockingIOError):
            self._hand.send(b"!")

    def rung(self, seconds: float = 0.0) -> bool:
        """Whether it rings within so many seconds, or has rung."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            return bool(selector.select(seconds))


class Listener:
    """Listens to all watched databases, each in a thread of its own, until it is stopped.

    Any number of listeners may run at a time; each of them tells everything.

    Args:
        wanted: the tables that are to be watched, by Superset's id of their database. It is asked every two seconds,
            from any thread, and may raise `LogUnavailable`: then what it said last counts.
        connect: opens a psycopg2 connection to a database, and closes it. Any error of it means: later.
        stamp: see `Stamp`; it is called from any thread.
    """

    def __init__(self, wanted: Wanted, connect: Connect, stamp: Stamp) -> None:
        self._wanted = wanted
        self._connect = connect
        self._stamp = stamp
        self._stopping = Bell()
        self._ears: dict[int, Ear] = {}

    def run(self) -> None:
        """Listen until `stop` is called."""
        try:
            self._tend()
            while not self._stopping.rung(LOOK_SECONDS):
                self._tend()
        finally:
            self._end(list(self._ears))

    def stop(self) -> None:
        """Have `run` return soon; safe in a signal handler and from any thread."""
        self._stopping.ring()

    def _tend(self) -> None:
        try:
            wanted = {number for number, names in self._wanted().items() if names}
        except LogUnavailable as error:
            warn("watch.wanted", "what is to be watched is not known anew: %s", error)
            return
        self._end([number for number in self._ears if number not in wanted])
        for number in wanted - set(self._ears):
            self._ears[number] = Ear(number, self._wanted, self._connect, self._stamp)
            self._ears[number].start()

    def _end(self, numbers: Collection[int]) -> None:
        ears = [self._ears.pop(number) for number in numbers]
        for ear in ears:
            ear.stop()
        for ear in ears:
            ear.join(HEARD_SECONDS)


class Ear(threading.Thread):
    """Listens to one database, and connects again for ever."""

    def __init__(self, database_id: int, wanted: Wanted, connect: Connect, stamp: Stamp) -> None:
        super().__init__(name=f"watch-{database_id}", daemon=True)
        self._database_id = database_id
        self._wanted = wanted
        self._connect = connect
        self._stamp = stamp
        self._stopping = Bell()

    def stop(self) -> None:
        """End soon."""
        self._stopping.ring()

    def run(self) -> None:
        pause = 0.0
        while not self._stopping.rung(pause):
            began = time.monotonic()
            try:
                with self._connect(self._database_id) as connection:
                    self._listen(connection)
            except Exception as error:  # noqa: BLE001  (whatever a tunnel or a driver raises, it is tried again)
                steady = time.monotonic() - began > STEADY_SECONDS
                pause = 0.0 if steady else min(LONGEST_PAUSE, pause * 2 + 0.25)
                self._say(error, pause)

    def _say(self, error: Exception, pause: float) -> None:
        known = isinstance(error, SupersetExtError | psycopg2.Error)
        text = first_line(error)
        warn(
            f"watch.{self._database_id}",
            "database %d is not listened to (%s); what changes there is told when it is, next try in %.1f s",
            self._database_id, text if known else f"{type(error).__name__}: {text}", pause,
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
        logger.info("superset_ext: listening to database %d", self._database_id)
        session = Session(connection, self._database_id, lambda: self._wanted().get(self._database_id, ()), self._stamp)
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._stopping, selectors.EVENT_READ)
            while not self._stopping.rung():
                if not connection.notifies:
                    selector.select(session.patience())
                connection.poll()
                session.turn()


def prepare(connection: Any) -> None:
    """Make a fresh connection one that listens.

    Raises:
        WatchError: it leads to a replica, where nothing is notified.
        psycopg2.Error: the source refused.
    """
    connection.autocommit = True
    _keep_alive(connection)
    with connection.cursor() as cursor:
        watch.refuse_replica(cursor)
        cursor.execute(_SESSION, (watch.LISTENER,))
        cursor.execute(f"LISTEN {watch.CHANNEL}")


def _keep_alive(connection: Any) -> None:
    """Notice a peer that is gone; what the system or a socket in the file system does not know is left as it is."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own, suppress(OSError):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def check_that_it_hears(connection: Any, other: Any) -> None:
    """See that what `other` notifies arrives; what else arrives meanwhile is kept.

    Raises:
        WatchError: it does not: a pooler that lends connections by transaction is in between.
        psycopg2.Error: one of them is lost.
    """
    token = uuid.uuid4().hex
    other.autocommit = True
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (watch.CHANNEL, json.dumps(token)))
    deadline = time.monotonic() + HEARD_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        while True:
            late = time.monotonic() > deadline  # before it is looked: what is there in time counts
            connection.poll()
            if any(token in each.payload for each in connection.notifies):
                return
            if late:
                raise WatchError(
                    "LISTEN does not get through; if a pooler is in between that lends connections by transaction, "
                    "let Superset's database name the server itself, or a pool by session"
                )
            selector.select(0.1)


class Session:
    """What is known of one database's tables while one connection lasts; used by one thread.

    Args:
        connection: one that `prepare` has made listen.
        database_id: Superset's id of the database.
        wanted: the tables that are to be watched there.
        stamp: see `Stamp`.
    """

    def __init__(self, connection: Any, database_id: int, wanted: Callable[[], Collection[Name]], stamp: Stamp) -> None:
        self._connection = connection
        self._database_id = database_id
        self._stamp = stamp
        self._repairs = Repairs(connection, wanted)
        self._tables: dict[int, Watched] = {}  # by number, as all that follows
        self._heard: dict[int, int] = {}  # the epochs that are to be muted
        self._hot: dict[int, float] = {}  # when each hot table is to be armed, on the monotonic clock
        self._met: dict[int, frozenset[str]] = {}  # the writers of hot tables that are to be armed in the next round
        self._cooling: dict[int, frozenset[str] | None] = {}  # armed tables with their writers, once those are known
        self._owed: dict[bool, set[Name]] = {False: set(), True: set()}  # what is to be stamped, by `again`
        self._next_look = self._next_round = 0.0

    def patience(self) -> float:
        """For how many seconds the next turn may wait for a notification."""
        busy = self._hot or self._cooling or any(self._owed.values())
        return max(0.0, (self._next_round if busy else self._next_look) - time.monotonic())

    def turn(self) -> None:
        """Do what is due; to be called after each notification, and when `patience` is over.

        Raises:
            psycopg2.Error: the connection is lost.
        """
        self._drain()
        with self._connection.cursor() as cursor:
            try:
                if time.monotonic() >= self._next_look:
                    self._look(cursor)
                if time.monotonic() >= self._next_round:
                    self._round(cursor)
                self._pay()
                watch.mute(cursor, self._heard)
            except (psycopg2.errors.InvalidSchemaName, psycopg2.errors.UndefinedFunction):
                self._forget()  # the last watch was removed, and the schema with it
        self._heard.clear()

    def _forget(self) -> None:
        for known in (self._tables, self._hot, self._met, self._cooling):
            known.clear()
        self._next_look = 0.0

    def _drain(self) -> None:
        while self._connection.notifies:
            match _said(self._connection.notifies.pop(0).payload):
                case "list":
                    self._next_look = 0.0
                case [int(number), int(epoch), str(schema), str(table)]:
                    self._hear(number, epoch, Name(schema, table))

    def _hear(self, number: int, epoch: int, name: Name) -> None:
        self._owed[False].add(name)
        if number not in self._tables:
            self._next_look = 0.0
        self._heat(number, HOT_SECONDS)
        self._heard[number] = max(epoch, self._heard.get(number, 0))

    def _heat(self, number: int, seconds: float) -> None:
        self._hot[number] = time.monotonic() + seconds
        self._met.pop(number, None)
        self._cooling.pop(number, None)  # its writers are asked for anew after the next arming

    def _look(self, cursor: Any) -> None:
        """See what is watched, what has become of it, and whether its triggers are there."""
        self._next_look = time.monotonic() + LOOK_SECONDS
        found = watch.state(cursor)
        if lost := self._repairs.due(found):
            self._owed[False] |= lost
            if self._repairs.make(lost):
                found = watch.state(cursor)
        self._compare({each.id: each for each in found})
        cursor.execute("SELECT pg_notification_queue_usage()")
        if cursor.fetchone()[0] >= QUEUE_FULL:
            warn("watch.queue", "%s of database %d", _QUEUE_IS_FULL, self._database_id)
            self._gap(self._tables)

    def _compare(self, found: dict[int, Watched]) -> None:
        before, self._tables = self._tables, found
        for number in set(before) - set(found):
            self._hot.pop(number, None)
            self._cooling.pop(number, None)
        self._gap([number for number in found if number not in before or found[number].shape != before[number].shape])

    def _gap(self, numbers: Collection[int]) -> None:
        """With these tables anything may have happened."""
        for number in numbers:
            self._owed[False].add(self._tables[number].name)
            self._heat(number, 0)
            self._next_round = 0.0

    def _round(self, cursor: Any) -> None:
        """Owe what comes round every 50 ms. The writers are asked for after the arming, and the stamps come after."""
        self._next_round = time.monotonic() + TURN_SECONDS
        self._arm(cursor)
        if self._cooling:
            self._cool(self._writers(cursor, self._cooling))
        for number in self._hot:
            self._owe(number, again=True)

    def _arm(self, cursor: Any) -> None:
        over = [number for number, until in self._hot.items() if until <= time.monotonic()]
        quiet = [number for number, writers in self._writers(cursor, over).items() if self._is_quiet(number, writers)]
        if quiet:
            watch.arm(cursor, quiet)
        for number in quiet:
            del self._hot[number]
            self._cooling[number] = None

    def _writers(self, cursor: Any, numbers: Collection[int]) -> dict[int, frozenset[str]]:
        return watch.writers(cursor, numbers) if numbers else {}

    def _is_quiet(self, number: int, writers: frozenset[str]) -> bool:
        """Whether a table may be armed. While many write, it stays hot: all their sessions would notify at once, and
        wait for each other. What tells is how many writers have come since the last round, since some stay for hours.
        """
        before = self._met.pop(number, None)
        if before is not None and len(writers - before) < MANY_WRITERS:
            return True
        if before is not None:
            self._hot[number] = time.monotonic() + HOT_SECONDS
        else:
            self._met[number] = writers
        return False

    def _cool(self, now: Mapping[int, frozenset[str]]) -> None:
        """Owe a stamp for each table of which a writer has ended; one that has none left is cold."""
        for number, before in list(self._cooling.items()):
            left = now[number] if before is None else _left(before, now[number])
            if before is None or before - left:
                self._owe(number, again=before is None)
            self._cooling[number] = left
            if not left:
                del self._cooling[number]

    def _owe(self, number: int, again: bool) -> None:
        if number in self._tables:
            self._owed[again].add(self._tables[number].name)

    def _pay(self) -> None:
        """Stamp what is owed; what cannot be stamped stays owed."""
        self._owed[True] -= self._owed[False]
        for again, names in self._owed.items():
            if names:
                try:
                    self._stamp(self._sources(names), again)
                except StoreUnavailable as error:
                    warn("watch.stamp", "a change of data could not be told, and is told as soon as it can: %s", error)
                    return
                names.clear()

    def _sources(self, names: Collection[Name]) -> list[SourceTable]:
        part_of = {each.name: each.part_of for each in self._tables.values()}
        whole = {each for name in names for each in (name, *part_of.get(name, ()))}
        return [SourceTable(self._database_id, Table(*name)) for name in sorted(whole)]


def _said(payload: str) -> Any:
    """What a notification says; whoever may connect may notify, so it may be anything."""
    try:
        return json.loads(payload)
    except ValueError:
        return None


def _left(before: frozenset[str], now: frozenset[str]) -> frozenset[str]:
    """Those writers that have not ended: the same ones, and all that are prepared, as one of them may have become."""
    return frozenset(each for each in now if each in before or each.startswith("-1/"))


class Repairs:
    """Puts watches that are wanted and not whole back in place, less and less often where that fails."""

    def __init__(self, connection: Any, wanted: Callable[[], Collection[Name]]) -> None:
        self._connection = connection
        self._wanted = wanted
        self._pauses: dict[Name, float] = {}
        self._next: dict[Name, float] = {}

    def due(self, found: Collection[Watched]) -> set[Name]:
        """The names of watches that are not whole, and are to be tried now."""
        whole = {each.name for each in found if each.intact}
        for name in whole & set(self._pauses):
            del self._pauses[name], self._next[name]
        try:
            lost = ({*self._wanted()} | {each.name for each in found}) - whole
        except LogUnavailable:
            lost = {each.name for each in found} - whole
        return {name for name in lost if self._next.get(name, 0.0) <= time.monotonic()}

    def make(self, names: Collection[Name]) -> int:
        """Try to put them back; how many were."""
        return sum(self._try(name) for name in sorted(names))

    def _try(self, name: Name) -> bool:
        pause = self._pauses[name] = min(LONGEST_REPAIR_PAUSE, self._pauses.get(name, LOOK_SECONDS / 2) * 2)
        self._next[name] = time.monotonic() + pause
        try:
            return self._make(name)
        except (WatchError, LogUnavailable) as error:
            if self._connection.closed:
                raise
            warn(f"watch.repair.{name}", "changes of %s may not be heard of: %s", name, error)
            return False

    def _make(self, name: Name) -> bool:
        with watch.transaction(self._connection) as cursor:
            watch.make_ready(cursor, REPAIR_PATIENCE)
            if name not in self._wanted():  # it was taken away while we waited
                return False
            relation = watch.relation_of(cursor, name)
            watch.add_relation(cursor, relation, two_phase_unused=True, patience=REPAIR_PATIENCE)
            return True
