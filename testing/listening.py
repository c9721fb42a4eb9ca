"""Listeners of this process, over sources that others write to, and caches that are told."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg2

from superset_ext.errors import LogUnavailable
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.watch import session as sessions
from superset_ext.freshness.watch import triggers
from superset_ext.freshness.watch.listener import Listener
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.watched import CHANNEL, LISTENER, Name

PATIENCE = 120.0  # seconds; a test that waits longer has failed


XID = "SELECT pg_current_xact_id_if_assigned()::text::bigint"


PREPARED = "SELECT transaction::text::bigint FROM pg_prepared_xacts"


DATABASE = 7


SALES, OTHER = Name("public", "sales"), Name("public", "other")


def run(connection: Any, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def opened(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def add(connection: Any, *tables: str) -> list[Name]:
    with transaction(connection) as cursor:
        return triggers.add(cursor, tables, two_phase_unused=True)


class Moment(float):
    """When a client knew that its transaction was committed. Others see that earlier, so whether a stamp came before or
    after it is for the server to say."""

    def __new__(cls, at: float, xid: int | None) -> Moment:
        moment = super().__new__(cls, at)
        moment.xid = xid
        return moment

    xid: int | None

    def before(self, stamp: Stamped) -> bool:
        """Whether a query that began with a stamp reads what this transaction wrote."""
        if self.xid is None or stamp.snapshot is None:
            return stamp.at > self
        _, end, running = stamp.snapshot.split(":")
        return self.xid < int(end) and str(self.xid) not in running.split(",")


class Stamped(NamedTuple):
    """One stamp: when, of what, whether for a change that was told before, and what a query then reads."""

    at: float
    table: str
    again: bool
    snapshot: str | None
    unheard: bool = False


@dataclass
class Caches:
    """What the caches were told, and when; they can be made to fail, and to wait."""

    stamps: list[Stamped] = field(default_factory=list)
    failure: Exception | None = None
    failed: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)
    sources: Sources | None = None
    readers: dict[int, Any] = field(default_factory=dict)
    beats: list[tuple[float, int, frozenset[Name]]] = field(default_factory=list)
    sessions: dict[int, Observed] = field(default_factory=dict)  # the last one of each database

    def __post_init__(self) -> None:
        self.gate.set()

    def __call__(self, tables: Collection[SourceTable], again: bool) -> None:
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        with self.changed:
            if self.failure is not None:
                self.failed += 1
                self.changed.notify_all()
                raise self.failure
            seen = {number: self._snapshot(number) for number in {table.database_id for table in tables}}
            now = time.monotonic()
            for table in tables:
                name = f"{table.database_id}:{table.table}"
                self.stamps.append(Stamped(now, name, again, seen[table.database_id], table.unheard))
            self.changed.notify_all()

    def beat(self, number: int, names: Collection[Name]) -> None:
        """A listener says that it hears of these tables."""
        with self.changed:
            self.beats.append((time.monotonic(), number, frozenset(names)))
            self.changed.notify_all()

    def beaten(self, since: float) -> bool:
        """Whether a beat comes later than that; waits for it."""
        with self.changed:
            return self.changed.wait_for(lambda: any(at > since for at, *_ in self.beats), PATIENCE)

    def _snapshot(self, number: int) -> str | None:
        """What a query sees that begins now, where the source answers."""
        if self.sources is None:
            return None
        try:
            if number not in self.readers:
                self.readers[number] = opened(self.sources.urls[number])
            return str(run(self.readers[number], "SELECT pg_current_snapshot()")[0][0])
        except psycopg2.Error:
            self.readers.pop(number, None)
            return None

    def after(self, moment: float, name: Name = SALES, database: int = DATABASE) -> float:
        """Seconds from a moment to the first stamp that began later; none in time is an error."""

        def delays() -> list[float]:
            wanted = f"{database}:{name.schema}.{name.table}".casefold()
            since = moment if isinstance(moment, Moment) else Moment(moment, None)
            return [stamped.at - moment for stamped in self.stamps if stamped.table == wanted and since.before(stamped)]

        with self.changed:
            assert self.changed.wait_for(delays, PATIENCE), f"no stamp of {name}"
            return min(delays())

    def failing(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.failed >= count, PATIENCE)

    def news(self, since: float, name: Name = SALES) -> int:
        """How many stamps since then were of a change of its own."""
        wanted = f"{DATABASE}:{name.schema}.{name.table}"
        return sum(stamped.at > since and stamped.table == wanted and not stamped.again for stamped in self.stamps)

    def cold(self) -> float:
        """Wait until all that was notified is heard, and nothing is stamped but what is yet to be committed; the moment
        of that."""
        assert self.sources is not None
        deadline = time.monotonic() + PATIENCE
        marks: dict[int, set[str]] = {number: set() for number, names in self.sources.wanted.items() if names}
        while True:
            for number, notified in marks.items():
                notified.add(self._mark(number))
            again = min(deadline, time.monotonic() + 2)  # a new connection has not heard the marks
            while time.monotonic() < again:
                if all(number in self.sessions and self.sessions[number].rests(marks[number]) for number in marks):
                    return time.monotonic()
                time.sleep(0.01)
            assert time.monotonic() < deadline, "it is stamped without an end"

    def _mark(self, number: int) -> str:
        """Notify what means nothing, after all that was notified before."""
        assert self.sources is not None
        mark = json.dumps(uuid.uuid4().hex)
        with closing(opened(self.sources.urls[number])) as connection:
            run(connection, "SELECT pg_notify(%s, %s)", CHANNEL, mark)
        return mark


class Observed(sessions.Session):
    """A session that tells, at the end of each of its turns, whether anything is left to do."""

    def __init__(self, connection: Any, database_id: int, title: str, wanted: Any, stamp: Any, beat: Any) -> None:
        super().__init__(connection, database_id, title, wanted, stamp, beat)
        self._marks: set[str] = set()
        self._rest: frozenset[str] | None = None
        if isinstance(stamp, Caches):
            stamp.sessions[database_id] = self

    def turn(self) -> None:
        super().turn()
        resting = not (self._epochs.hot or self._owed) and all(self._epochs.cooling.values())
        self._rest = frozenset(self._marks) if resting else None

    def _drain(self) -> None:
        self._marks |= {notice.payload for notice in self._connection.notifies}
        super()._drain()

    def rests(self, marks: Collection[str]) -> bool:
        """Whether it has heard one of these marks, and will stamp nothing until somebody commits or ends."""
        return self._rest is not None and not self._rest.isdisjoint(marks)


@dataclass
class Sources:
    """The source databases, as the listener gets at them."""

    urls: dict[int, str]
    wanted: dict[int, set[Name]]
    refused: Exception | None = None
    refusals: int = 0
    log_lost: bool = False

    def names(self) -> dict[int, set[Name]]:
        if self.log_lost:
            raise LogUnavailable("the log database is away")
        return {number: set(names) for number, names in dict(self.wanted).items()}  # a test may add to it meanwhile

    @contextmanager
    def connect(self, number: int) -> Iterator[Any]:
        if self.refused is not None:
            self.refusals += 1
            raise self.refused
        with closing(psycopg2.connect(self.urls[number])) as connection:
            yield connection


@contextmanager
def listens(sources: Sources, caches: Caches) -> Iterator[Listener]:
    caches.sources = sources
    listener = Listener(sources.names, sources.connect, caches, caches.beat)
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        yield listener
    finally:
        caches.gate.set()
        listener.stop()
        thread.join(PATIENCE)
        for reader in caches.readers.values():
            reader.close()
        assert not thread.is_alive()


def write(connection: Any, sql: str = "UPDATE sales SET n = n + 1") -> Moment:
    """Write, and return when it was committed for certain."""
    if sql.startswith("COMMIT"):
        ((xid,),) = run(connection, PREPARED if "PREPARED" in sql else XID)
        run(connection, sql)
    else:
        ((xid,),) = run(connection, f"{sql}; {XID}")
    return Moment(time.monotonic(), xid)


def silent(source: Any, writer: Any, caches: Caches) -> bool:
    """Begin a transaction that writes while the table is muted, and so has nothing to notify; whether that is so."""
    caches.after(write(source))
    run(writer, "BEGIN; UPDATE sales SET n = 5 WHERE id = 5")
    ((notified,),) = run(writer, "SELECT current_setting('superset_ext.watch_1', true)")
    if notified:
        run(writer, "ROLLBACK")
    return not notified


def backend(connection: Any) -> list[int]:
    return [row[0] for row in run(connection, "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND"
                                              " datname = current_database()", LISTENER)]  # fmt: skip


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
