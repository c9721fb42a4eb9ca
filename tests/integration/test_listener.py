"""The listener: after every commit to a watched table comes a stamp, whatever happens to whom."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.errors import LogUnavailable, StoreUnavailable, WatchError
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.watch import connection as connecting
from superset_ext.freshness.watch import listener as listening
from superset_ext.freshness.watch import repairs, triggers
from superset_ext.freshness.watch import session as sessions
from superset_ext.freshness.watch.listener import DatabaseListener, Listener
from superset_ext.freshness.watch.schema import take_turn
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


@dataclass
class Caches:
    """What the caches were told, and when; they can be made to fail, and to wait."""

    told: list[Stamped] = field(default_factory=list)
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
            seen = {number: self._snapshot(number) for number in {each.database_id for each in tables}}
            now = time.monotonic()
            for each in tables:
                self.told.append(Stamped(now, f"{each.database_id}:{each.table}", again, seen[each.database_id]))
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

        def found() -> list[float]:
            wanted = f"{database}:{name.schema}.{name.table}".casefold()
            since = moment if isinstance(moment, Moment) else Moment(moment, None)
            return [each.at - moment for each in self.told if each.table == wanted and since.before(each)]

        with self.changed:
            assert self.changed.wait_for(found, PATIENCE), f"no stamp of {name}"
            return min(found())

    def failing(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.failed >= count, PATIENCE)

    def news(self, since: float, name: Name = SALES) -> int:
        """How many stamps since then were of a change of its own."""
        wanted = f"{DATABASE}:{name.schema}.{name.table}"
        return sum(each.at > since and each.table == wanted and not each.again for each in self.told)

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

    def __init__(self, connection: Any, database_id: int, wanted: Any, stamp: Any, beat: Any) -> None:
        super().__init__(connection, database_id, wanted, stamp, beat)
        self._marks: set[str] = set()
        self._rest: frozenset[str] | None = None
        if isinstance(stamp, Caches):
            stamp.sessions[database_id] = self

    def turn(self) -> None:
        super().turn()
        resting = not (self._epochs.hot or self._owed) and all(self._epochs.cooling.values())
        self._rest = frozenset(self._marks) if resting else None

    def _drain(self) -> None:
        self._marks |= {each.payload for each in self._connection.notifies}
        super()._drain()

    def rests(self, marks: Collection[str]) -> bool:
        """Whether it has heard one of these marks, and will stamp nothing until somebody commits or ends."""
        return self._rest is not None and not self._rest.isdisjoint(marks)


@pytest.fixture(autouse=True)
def observed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions tell when they rest, and none is lost because the server took long over a statement."""
    monkeypatch.setattr(listening, "Session", Observed)
    monkeypatch.setattr(connecting, "_SETTINGS", connecting._SETTINGS.replace("'5s'", f"'{PATIENCE:.0f}s'"))


@dataclass
class Sources:
    """The source databases, as the listener gets at them."""

    urls: dict[int, str]
    wanted: dict[int, set[Name]]
    refused: Exception | None = None
    log_lost: bool = False

    def names(self) -> dict[int, set[Name]]:
        if self.log_lost:
            raise LogUnavailable("the log database is away")
        return {number: set(names) for number, names in dict(self.wanted).items()}  # a test may add to it meanwhile

    @contextmanager
    def connect(self, number: int) -> Iterator[Any]:
        if self.refused is not None:
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


@pytest.fixture
def source(database_url: str) -> Iterator[Any]:
    with closing(opened(database_url)) as connection:
        run(connection, "CREATE TABLE sales (id int PRIMARY KEY, n int); INSERT INTO sales SELECT g, 0"
                        " FROM generate_series(1, 100) g; CREATE TABLE other (n int)")  # fmt: skip
        yield connection


@pytest.fixture
def session(database_url: str) -> Iterator[Callable[[], Any]]:
    """Opens sessions of their own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(opened(database_url)))


@pytest.fixture
def sources(source: Any, database_url: str) -> Sources:
    return Sources({DATABASE: database_url}, {DATABASE: set(add(source, "sales", "other"))})


@pytest.fixture
def caches(sources: Sources) -> Iterator[Caches]:
    """The caches, with a listener that has told them of its start and is quiet."""
    caches = Caches()
    with listens(sources, caches):
        caches.after(0.0)
        caches.cold()
        yield caches


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


class TestCommits:
    def test_a_commit_is_told(self, source: Any, caches: Caches) -> None:
        """Intent: the first commit after a quiet time, and only of its table."""
        began = time.monotonic()
        write(source)
        caches.after(began)
        caches.after(write(source))
        caches.cold()
        assert not [each for each in caches.told if each[0] > began and each[1] == "7:public.other"]

    def test_commits_that_do_not_notify_are_told(self, source: Any, caches: Caches) -> None:
        """Intent: each of many commits within a second has a stamp after it, though nearly none notifies."""
        for pause in [0.0, 0.01, 0.03, 0.1, 0.2] * 12:
            time.sleep(pause)
            caches.after(write(source))

    def test_a_long_transaction_that_was_muted(self, source: Any, session: Callable[[], Any], caches: Caches) -> None:
        """Intent: a statement that ran while the table was muted, and is committed when nobody expects it."""
        writer = session()
        until(lambda: silent(source, writer, caches))
        started = caches.cold()
        assert caches.news(started) == 0
        caches.after(write(writer, "COMMIT"))

    def test_a_long_transaction_of_a_session_that_had_notified(
        self, session: Callable[[], Any], caches: Caches
    ) -> None:
        """Intent: the same where the table was armed, and the session silent since it had notified before."""
        writer = session()
        caches.gate.clear()  # the listener hears, and cannot mute yet
        caches.entered.clear()
        write(writer)
        assert caches.entered.wait(PATIENCE)
        run(writer, "BEGIN; UPDATE sales SET n = 5 WHERE id = 5")
        caches.gate.set()
        caches.cold()
        caches.after(write(writer, "COMMIT"))

    def test_several_long_transactions_end_one_by_one(
        self, source: Any, session: Callable[[], Any], caches: Caches
    ) -> None:
        """Intent: each end is told, and nothing is stamped while they only run."""
        write(source)
        writers = [session() for _ in range(3)]
        for number, writer in enumerate(writers):
            run(writer, "BEGIN")
            run(writer, "UPDATE sales SET n = 5 WHERE id = %s", number + 10)
        for writer in writers:
            caches.cold()
            caches.after(write(writer, "COMMIT"))
        caches.cold()
        caches.after(write(source))

    def test_a_rollback_is_not_told(self, source: Any, session: Callable[[], Any], caches: Caches) -> None:
        """Intent: what did not happen drops nothing; a commit elsewhere is the sign that it would have been heard."""
        writer = session()
        began = time.monotonic()
        run(writer, "BEGIN; UPDATE sales SET n = 5; ROLLBACK")
        run(writer, "BEGIN; SAVEPOINT a; UPDATE sales SET n = 5; ROLLBACK TO a; COMMIT")
        caches.after(write(source, "INSERT INTO other VALUES (1)"), OTHER)
        caches.cold()
        assert not [each for each in caches.told if each[0] > began and each[1] == "7:public.sales"]

    def test_a_savepoint_that_is_kept_is_told(self, source: Any, caches: Caches) -> None:
        """Intent: a write within a released savepoint counts, after one that was rolled back."""
        began = time.monotonic()
        write(source, "BEGIN; SAVEPOINT a; UPDATE sales SET n = 5; ROLLBACK TO a; SAVEPOINT b;"
                      " UPDATE sales SET n = 6; RELEASE b; COMMIT")  # fmt: skip
        caches.after(began)

    @pytest.mark.parametrize("sql", ["TRUNCATE sales", "DELETE FROM sales", "INSERT INTO sales VALUES (0, 0)"])
    def test_other_statements(self, source: Any, caches: Caches, sql: str) -> None:
        """Intent: every kind of statement that changes rows is told."""
        began = time.monotonic()
        write(source, sql)
        caches.after(began)

    def test_an_unrelated_long_transaction_costs_nothing(
        self, source: Any, session: Callable[[], Any], caches: Caches
    ) -> None:
        """Intent: a load that runs for hours on another table does not keep this one from being cached."""
        loader = session()
        run(loader, "CREATE TABLE load (n int); BEGIN; INSERT INTO load VALUES (1)")
        began = time.monotonic()
        write(source)
        caches.after(began)
        caches.cold()

    def test_who_only_reads_or_locks_is_not_waited_for(
        self, source: Any, session: Callable[[], Any], caches: Caches
    ) -> None:
        """Intent: a long transaction that has not written stamps nothing when it ends."""
        reader = session()
        run(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM sales; SELECT * FROM sales FOR UPDATE")
        began = time.monotonic()
        write(source, "INSERT INTO sales VALUES (0, 0)")
        caches.after(began)
        began = caches.cold()
        run(reader, "COMMIT")
        caches.after(write(source, "INSERT INTO other VALUES (1)"), OTHER)
        assert not [each for each in caches.told if each[0] > began and each[1] == "7:public.sales"]


def prepare(writer: Any, session: Any, name: str, caches: Caches, meanwhile: Callable[[], object] = int) -> None:
    """Prepare a transaction that was silent; one that notified, as it does a second after the last, cannot be."""
    deadline = time.monotonic() + PATIENCE
    while True:
        caches.after(write(writer))
        try:
            run(session, "BEGIN; UPDATE sales SET n = 5 WHERE id = 2")
            meanwhile()
            run(session, f"PREPARE TRANSACTION '{name}'")
            return
        except psycopg2.errors.FeatureNotSupported:
            assert time.monotonic() < deadline, "no transaction is silent"
            run(session, "ROLLBACK")


class TestTwoPhase:
    def test_a_prepared_transaction(self, tmp_path: Path) -> None:
        """Intent: a transaction that was silent is prepared, and is committed long after its session has gone."""
        server = Postgres(tmp_path / "data")
        server.initialise()
        with (tmp_path / "data" / "postgresql.auto.conf").open("a") as file:
            file.write("max_prepared_transactions = 5\n")
        server.start()
        try:
            with closing(opened(server.url())) as one, closing(opened(server.url())) as two:
                run(one, "CREATE TABLE sales (id int PRIMARY KEY, n int); INSERT INTO sales VALUES (1, 1), (2, 2)")
                caches = Caches()
                with listens(Sources({DATABASE: server.url()}, {DATABASE: set(add(one, "sales"))}), caches):
                    caches.after(0.0)
                    caches.cold()
                    prepare(one, two, "p", caches)
                    two.close()
                    caches.cold()
                    caches.after(write(one, "COMMIT PREPARED 'p'"))
                    caches.after(write(one))
                    with closing(opened(server.url())) as three:
                        prepare(one, three, "q", caches, caches.cold)
                    caches.cold()
                    caches.after(write(one, "COMMIT PREPARED 'q'"))
        finally:
            server.stop()


class TestParts:
    @pytest.fixture
    def tree(self, source: Any, sources: Sources) -> Any:
        run(source, "CREATE TABLE p (n int) PARTITION BY LIST (n); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
        sources.wanted[DATABASE] |= set(add(source, "p"))
        return source

    def test_a_write_to_a_part_is_told_of_the_whole(self, tree: Any, caches: Caches) -> None:
        """Intent: who reads the partitioned table depends on each of its parts."""
        began = time.monotonic()
        write(tree, "INSERT INTO p1 VALUES (1)")
        caches.after(began, Name("public", "p"))

    def test_a_part_that_is_watched_is_told_with_its_whole(self, tree: Any, caches: Caches) -> None:
        """Intent: watching a part alone tells of it, and of the table it is a part of."""
        began = time.monotonic()
        add(tree, "p1")
        caches.after(began, Name("public", "p1"))
        caches.cold()
        began = time.monotonic()
        write(tree, "INSERT INTO p1 VALUES (1)")
        caches.after(began, Name("public", "p1"))
        caches.after(began, Name("public", "p"))

    def test_a_part_that_comes_and_goes(self, tree: Any, caches: Caches) -> None:
        """Intent: attaching rows, writing to the new part and dropping it are all heard of."""
        p = Name("public", "p")
        run(tree, "CREATE TABLE p2 (n int); INSERT INTO p2 VALUES (2)")
        caches.after(write(tree, "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2)"), p)
        caches.cold()
        caches.after(write(tree, "INSERT INTO p2 VALUES (2)"), p)
        caches.cold()
        caches.after(write(tree, "DROP TABLE p2"), p)

    def test_a_table_that_is_made_anew(self, source: Any, caches: Caches) -> None:
        """Intent: dbt and to_sql replace tables; the new one is told of at once, and then watched like the old one."""
        caches.after(write(source, "CREATE TABLE newer (LIKE sales); INSERT INTO newer VALUES (1, 1);"
                           " ALTER TABLE sales RENAME TO older; ALTER TABLE newer RENAME TO sales;"
                           " DROP TABLE older"))  # fmt: skip
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)
        caches.cold()
        caches.after(write(source, "DROP TABLE sales; CREATE TABLE sales (n int)"))

    def test_triggers_that_cannot_be_made_yet(
        self, source: Any, session: Callable[[], Any], caches: Caches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: while somebody loads a new table for long, its writers do not wait for us, and it is told and tried
        again and again; afterwards it is watched."""
        monkeypatch.setattr(repairs, "LONGEST_PAUSE", 0.2)
        loader = session()
        with transaction(session()) as cursor:
            take_turn(cursor)  # nobody makes triggers before the loader begins
            run(source, "DROP TABLE sales")
            run(source, "CREATE TABLE sales (id int, n int)")
            run(loader, "BEGIN; INSERT INTO sales VALUES (1, 1)")
        for _ in range(2):
            caches.after(time.monotonic())
        caches.after(write(loader, "COMMIT"))
        until(lambda: _intact(source))
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)

    def test_a_swap_is_told_when_it_is_committed(
        self, source: Any, caches: Caches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: dbt builds a table beside the old one and swaps their names. Its commit notifies: nobody has to look
        for it. The new table is watched from then on.
        """
        caches.cold()
        monkeypatch.setattr(sessions, "LOOK_SECONDS", 1000.0)
        until(lambda: caches.sessions[DATABASE]._next_look > time.monotonic() + 100)
        caches.cold()
        for _ in range(3):
            run(source, "CREATE TABLE sales__dbt_tmp AS SELECT * FROM sales")
            swapped = write(source, "BEGIN; ALTER TABLE sales RENAME TO sales__dbt_backup;"
                            " ALTER TABLE sales__dbt_tmp RENAME TO sales; COMMIT")  # fmt: skip
            caches.after(swapped)
            run(source, "DROP TABLE sales__dbt_backup CASCADE")
            until(lambda: _intact(source))
            caches.cold()
            began = time.monotonic()
            write(source)
            caches.after(began)

    @pytest.mark.parametrize(
        "ddl",
        [
            "ALTER TABLE sales ADD COLUMN extra int", "DROP TABLE sales", "ALTER TABLE sales RENAME TO older",
            "DROP TABLE sales; SELECT 1 AS n INTO sales", "ALTER SCHEMA public RENAME TO p; CREATE SCHEMA public",
            "DROP TRIGGER superset_ext_watch_1 ON sales", "ALTER TABLE sales SET SCHEMA pg_catalog",
            "CREATE TABLE child () INHERITS (sales)",
        ],
    )  # fmt: skip
    def test_ddl_notifies(self, source: Any, sources: Sources, session: Callable[[], Any], ddl: str) -> None:
        """Intent: each kind of DDL that may change what a watched table shows is told by its commit."""
        ears = session()
        run(ears, f"LISTEN {CHANNEL}")
        run(source, ddl)
        run(ears, "SELECT 1")
        assert [each.payload for each in ears.notifies] == ['"list"']

    @pytest.mark.parametrize(
        "ddl", ["CREATE TABLE third (n int)", "CREATE TEMP TABLE sales (n int)", "CREATE INDEX ON sales (n)"]
    )
    def test_other_ddl_does_not(self, source: Any, sources: Sources, session: Callable[[], Any], ddl: str) -> None:
        """Intent: all commits that notify queue, so DDL that concerns no watched table is left alone."""
        ears = session()
        run(ears, f"LISTEN {CHANNEL}")
        run(source, ddl)
        run(ears, "SELECT 1")
        assert not ears.notifies

    def test_a_load_that_holds_a_new_table(
        self, source: Any, session: Callable[[], Any], caches: Caches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: while its trigger cannot be made, a new table is told of all the time, not at each attempt."""
        monkeypatch.setattr(repairs, "FIRST_PAUSE", 1000.0)
        monkeypatch.setattr(repairs, "LONGEST_PAUSE", 1000.0)
        loader = session()
        with transaction(session()) as cursor:
            take_turn(cursor)  # nobody makes triggers before the loader begins
            run(source, "DROP TABLE sales; CREATE TABLE sales (id int, n int)")
            run(loader, "BEGIN; INSERT INTO sales VALUES (1, 1)")
            until(lambda: caches.sessions[DATABASE]._bare())
        caches.after(write(loader, "COMMIT"))


def _intact(connection: Any) -> bool:
    with transaction(connection) as cursor:
        return all(each.intact for each in triggers.state(cursor))


def until(found: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


PAYLOADS = (
    "", "{", "null", "[]", "[1, 2, 3, 4]", '["a", 1, "public", "sales"]', '[999, 2, "x", "y"]', "[" * 7000,
    '{"a":' * 1500, "1" * 5000, "[1, 2, \"public\", \"sa\\u0000les\"]", '[3, 2, "\\u0000", "\\ud800"]',
    '[true, 2, "public", "sales"]', '[1, 1e999, "public", "sales"]', '[1, NaN, "public", "sales"]',
    f'[1, {10**30}, "public", "sales"]', f'[{10**30}, 1, "public", "sales"]', '[1, -5, "public", "sales"]',
    '[1, 2, "public", "other"]', '["list"]', *['"list"'] * 50,
)  # fmt: skip


def fuzz(count: int) -> Iterator[str]:
    """Payloads like those of the triggers, with something else in some place."""
    chance = random.Random(count)
    values = ("1", "2", "-1", "null", "{}", "[[]]", '"public"', '"sales"', '"\\u0000"', "9" * 40, "1.5", "true", "")
    for _ in range(count):
        inner = ", ".join(chance.choice(values) for _ in range(chance.choice((3, 4, 4, 4, 5))))
        text = list(f"[{inner}]")
        if chance.random() < 0.3:
            text[chance.randrange(len(text))] = chance.choice('[]{}",\\\u2028\x01')
        yield "".join(text)


class TestBeats:
    """Readers trust a watched table for as long as they hear that somebody listens to it."""

    def test_it_beats_while_it_hears(self, source: Any, caches: Caches) -> None:
        """Intent: again and again, of all that it hears, and only after all was told that happened before."""
        assert caches.beaten(caches.beats[-1][0] if caches.beats else 0.0)
        at, number, names = caches.beats[0]
        assert (number, names) == (DATABASE, {SALES, OTHER})
        assert min(stamped.at for stamped in caches.told) < at

    def test_it_is_silent_while_it_cannot_tell(
        self, source: Any, caches: Caches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: who has heard and could not stamp must not say that all is told."""
        monkeypatch.setattr(sessions, "BEAT_SECONDS", 0.0)
        caches.failure = StoreUnavailable("away")
        write(source)
        caches.failing(1)
        silent_since = time.monotonic()
        caches.failing(caches.failed + 5)
        assert not [at for at, *_ in caches.beats if at > silent_since]
        caches.failure = None
        assert caches.beaten(silent_since)

    def test_it_is_silent_without_a_connection(
        self, source: Any, sources: Sources, caches: Caches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: nobody hears while the source cannot be reached."""
        monkeypatch.setattr(sessions, "BEAT_SECONDS", 0.0)
        sources.refused = WatchError("no way")
        (pid,) = backend(source)
        run(source, "SELECT pg_terminate_backend(%s)", pid)
        until(lambda: not backend(source))
        silent_since = time.monotonic()
        time.sleep(3 * sessions.LOOK_SECONDS)
        assert not [at for at, *_ in caches.beats if at > silent_since + 1]
        sources.refused = None
        assert caches.beaten(silent_since)


class TestGaps:
    def test_a_lost_connection(self, source: Any, caches: Caches) -> None:
        """Intent: the listener connects again, and tells of everything, since it cannot know what it has missed."""
        (pid,) = backend(source)
        began = time.monotonic()
        run(source, "SELECT pg_terminate_backend(%s)", pid)
        caches.after(began)
        caches.after(began, OTHER)
        caches.cold()
        assert backend(source) != [pid]
        began = time.monotonic()
        write(source)
        caches.after(began)

    def test_what_is_committed_meanwhile(self, source: Any, sources: Sources, caches: Caches) -> None:
        """Intent: a commit in a gap is told when the gap ends, also of a session that was silent in its epoch."""
        write(source)
        sources.refused = WatchError("the source is away")
        began = time.monotonic()
        run(source, "SELECT pg_terminate_backend(%s)", backend(source)[0])
        until(lambda: not backend(source))
        committed = write(source)
        assert committed > began
        sources.refused = None
        caches.after(committed)

    def test_a_transaction_that_spans_a_gap(
        self, source: Any, session: Callable[[], Any], sources: Sources, caches: Caches
    ) -> None:
        """Intent: its statement ran before the gap and was silent, its commit comes long after."""
        writer = session()
        until(lambda: silent(source, writer, caches))
        began = time.monotonic()
        run(source, "SELECT pg_terminate_backend(%s)", backend(source)[0])
        caches.after(began, OTHER)
        caches.cold()
        caches.after(write(writer, "COMMIT"))

    def test_redis_is_away(self, source: Any, caches: Caches) -> None:
        """Intent: what cannot be told is owed, and is told when it can be, also of a table that is long cold."""
        caches.failure = StoreUnavailable("Redis is away")
        committed = write(source)
        caches.failing(30)  # more than a second: the table would be cold by now
        caches.failure = None
        caches.after(committed)
        caches.cold()

    def test_a_callback_that_breaks(self, source: Any, caches: Caches) -> None:
        """Intent: an error that nobody thought of is a gap, and not the end of listening."""
        caches.failure = RuntimeError("a bug")
        committed = write(source)
        caches.failing(2)
        caches.failure = None
        caches.after(committed)
        caches.after(committed, OTHER)

    def test_what_others_notify_is_not_taken_amiss(self, source: Any, caches: Caches) -> None:
        """Intent: whoever may connect may notify of anything. It ends no connection, and makes nobody believe that a
        table has changed that is not watched.
        """
        (pid,) = backend(source)
        for payload in (*PAYLOADS, *fuzz(200)):
            run(source, "SELECT pg_notify(%s, %s)", CHANNEL, payload)
        began = time.monotonic()
        write(source)
        caches.after(began)
        caches.cold()
        assert backend(source) == [pid]
        assert {stamped.table for stamped in caches.told} == {f"{DATABASE}:public.sales", f"{DATABASE}:public.other"}

    def test_bytes_that_are_no_text(self, postgres: Postgres, caches: Caches, sources: Sources) -> None:
        """Intent: in a database without an encoding a notification may hold any bytes."""
        name, url = f"ascii_{uuid.uuid4().hex}", postgres.url("postgres")
        with closing(opened(url)) as maker:
            run(maker, f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        url = postgres.url(name)
        with closing(opened(url)) as ascii_source:
            run(ascii_source, "CREATE TABLE sales (n int)")
            sources.urls[8] = url
            sources.wanted[8] = set(add(ascii_source, "sales"))
            caches.after(0.0, database=8)
            (pid,) = backend(ascii_source)
            for text in (r"\377\376", r"[1, 2, \200, \200]", r"\303"):
                run(ascii_source, f"SELECT pg_notify('{CHANNEL}', E'{text}')")
            caches.after(write(ascii_source, "INSERT INTO sales VALUES (1)"), database=8)
            assert backend(ascii_source) == [pid]

    def test_a_full_queue(self, source: Any, caches: Caches, monkeypatch: pytest.MonkeyPatch) -> None:
        """Intent: while triggers do not notify, since the queue is full, everything is told at every look."""
        caches.cold()
        monkeypatch.setattr(sessions, "QUEUE_FULL", 0.0)
        for _ in range(3):
            caches.after(time.monotonic())
            caches.after(time.monotonic(), OTHER)

    def test_a_connection_that_does_not_hear(self, database_url: str, postgres: Postgres, source: Any,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
        """Intent: behind a pooler that lends connections by transaction LISTEN seems to work; found at once."""
        monkeypatch.setattr(connecting, "HEARD_SECONDS", 0.3)
        with closing(opened(database_url)) as one, closing(opened(postgres.url())) as elsewhere:
            connecting.prepare(one)
            with pytest.raises(WatchError, match="LISTEN does not get through"):
                connecting.check_that_it_hears(one, elsewhere)
            monkeypatch.setattr(connecting, "HEARD_SECONDS", PATIENCE)
            connecting.check_that_it_hears(one, source)

    def test_a_role_that_only_reads(self, source: Any, postgres: Postgres, database_url: str, sources: Sources) -> None:
        """Intent: a role whose sessions are read-only by default, and which may only listen, is enough."""
        run(source, "DROP ROLE IF EXISTS only_reads")
        run(
            source,
            "CREATE ROLE only_reads LOGIN PASSWORD 'x'; ALTER ROLE only_reads SET default_transaction_read_only = on",
        )
        try:
            run(source, "SELECT superset_ext_watch.allow('only_reads')")
            sources.urls[DATABASE] = database_url.replace("postgres:", "only_reads:", 1).replace(postgres.password, "x")
            caches = Caches()
            with listens(sources, caches):
                caches.after(0.0)
                caches.cold()
                began = time.monotonic()
                write(source)
                caches.after(began)
                caches.after(write(source))
                caches.cold()
        finally:
            run(source, "DROP OWNED BY only_reads; DROP ROLE only_reads")


class TestWhatIsWatched:
    def test_a_new_watch_needs_no_restart(self, source: Any, sources: Sources, caches: Caches) -> None:
        """Intent: a table that is added is told of at once, and heard from then on."""
        run(source, "CREATE TABLE newer (n int)")
        newer = Name("public", "newer")
        began = time.monotonic()
        sources.wanted[DATABASE] |= set(add(source, "newer"))
        caches.after(began, newer)
        caches.cold()
        began = time.monotonic()
        write(source, "INSERT INTO newer VALUES (1)")
        caches.after(began, newer)

    def test_a_new_database_needs_no_restart(self, sources: Sources, caches: Caches, postgres: Postgres) -> None:
        """Intent: a running listener takes up a source that is added, and leaves one that is taken out."""
        sources.urls[8] = postgres.create_database("second_source")
        with closing(opened(sources.urls[8])) as source:
            run(source, "CREATE TABLE IF NOT EXISTS sales (n int)")
            began = time.monotonic()
            sources.wanted[8] = set(add(source, "sales"))
            caches.after(began, database=8)
            del sources.wanted[8]
            until(lambda: not backend(source))

    def test_what_is_wanted_and_lost_is_put_back(self, source: Any, caches: Caches) -> None:
        """Intent: a source that was restored from a dump without our schema, or cleaned by hand, is watched again."""
        began = time.monotonic()
        run(source, "DROP SCHEMA superset_ext_watch CASCADE")
        until(lambda: _wanted_intact(source))
        caches.after(began)
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)

    def test_what_is_removed_is_not_put_back(self, source: Any, sources: Sources, caches: Caches) -> None:
        """Intent: a hot table is removed, and then the last one: nothing comes back, and the connection is closed."""
        write(source)
        for name in (SALES, OTHER):
            with transaction(source) as cursor:
                take_turn(cursor)
                triggers.remove(cursor, [name])
                sources.wanted[DATABASE].discard(name)
        until(lambda: not backend(source))
        assert not run(source, "SELECT 1 FROM pg_namespace WHERE nspname = 'superset_ext_watch'")
        began = caches.cold()
        write(source)
        sources.wanted[DATABASE] = set(add(source, "other"))
        caches.after(began, OTHER)
        assert not [each for each in caches.told if each[0] > began and each[1] == "7:public.sales"]

    def test_removed_and_added_at_once(self, source: Any, caches: Caches) -> None:
        """Intent: the number of the new watch is that of the old one, and nothing is taken for known."""
        with transaction(source) as cursor:
            triggers.remove(cursor, [SALES, OTHER])
            triggers.add(cursor, ["sales", "other"])
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)

    def test_the_log_database_is_away(self, source: Any, sources: Sources, caches: Caches) -> None:
        """Intent: what was known to be watched stays so, also over a lost connection."""
        sources.log_lost = True
        began = time.monotonic()
        run(source, "SELECT pg_terminate_backend(%s)", backend(source)[0])
        caches.after(began)
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)

    def test_a_dropped_sequence_is_mended_and_heard(self, source: Any, caches: Caches) -> None:
        """Intent: an epoch that somebody drops is made again, and commits are heard after it."""
        began = time.monotonic()
        run(source, "DROP SEQUENCE superset_ext_watch.epoch_1 CASCADE")
        caches.after(began)
        until(lambda: _wanted_intact(source))
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)


def _wanted_intact(connection: Any) -> bool:
    try:
        with transaction(connection) as cursor:
            found = {each.name for each in triggers.state(cursor) if each.intact}
    except WatchError:
        return False
    return {SALES, OTHER} <= found


def test_two_listeners_both_tell(source: Any, session: Callable[[], Any], sources: Sources) -> None:
    """Intent: two containers run, for two caches even; what one mutes the other has heard of."""
    first, second = Caches(), Caches()
    writers = [session() for _ in range(2)]
    with listens(sources, first), listens(sources, second):
        first.after(0.0)
        second.after(0.0)
        for pause in [0.0, 0.2, 0.5, 0.9, 1.0, 1.1, 1.3] * 2:
            time.sleep(pause)
            committed = write(source)
            for caches in (first, second):
                caches.after(committed)
        first.cold()
        second.cold()
        second.gate.clear()  # one hangs in the middle of it, while the other goes on
        second.entered.clear()
        first.after(write(source))
        assert second.entered.wait(PATIENCE)
        for number, writer in enumerate(writers):  # before the other arms the table anew, and after it
            run(writer, "BEGIN")
            run(writer, "UPDATE sales SET n = 5 WHERE id = %s", number + 7)
            first.cold()
        second.gate.set()
        second.cold()
        for writer in writers:
            committed = write(writer, "COMMIT")
            for caches in (first, second):
                caches.after(committed)


WRITERS, COMMITS, TABLES = 20, 12, 12


class Writer(threading.Thread):
    """Writes at random: short and long transactions, savepoints, rollbacks, new sessions, pauses around a second.

    There are more tables than others could hide a missing stamp of.
    """

    def __init__(self, url: str, seed: int) -> None:
        super().__init__()
        self._url = url
        self._chance = random.Random(seed)
        self.commits: list[tuple[Moment, Name]] = []
        self.error: Exception | None = None

    def run(self) -> None:
        connection = opened(self._url)
        try:
            for _ in range(COMMITS):
                if self._chance.random() < 0.1:
                    connection.close()
                    connection = opened(self._url)
                self._write(connection, Name("public", f"t{self._chance.randrange(TABLES)}"))
                time.sleep(self._chance.choice([0, 0, 0.002, 0.02, 0.1, 0.4, 0.97, 1.0, 1.03]))
        except Exception as error:  # noqa: BLE001  (a thread cannot fail a test by itself)
            self.error = error
        finally:
            connection.close()

    def _write(self, connection: Any, name: Name) -> None:
        insert, kind = f"INSERT INTO {name.table} VALUES (1)", self._chance.random()
        if kind < 0.4:
            self.commits.append((write(connection, insert), name))
            return
        run(connection, "BEGIN")
        if kind < 0.6:
            run(connection, f"SAVEPOINT a; {insert}; ROLLBACK TO a")
        run(connection, insert)
        time.sleep(self._chance.choice([0, 0.01, 0.3, 0.99, 1.01, 1.5, 2.5]))
        if kind > 0.9:
            run(connection, "ROLLBACK")
        else:
            self.commits.append((write(connection, "COMMIT"), name))


@pytest.mark.parametrize(("listeners", "lost"), [(1, False), (2, True)])
def test_every_commit_is_followed_by_a_stamp(source: Any, database_url: str, listeners: int, lost: bool) -> None:
    """Intent: the promise, over some hundreds of commits, where connections of listeners are lost or are not."""
    names = [f"t{number}" for number in range(TABLES)]
    run(source, "".join(f"CREATE TABLE {name} (n int);" for name in names))
    sources = Sources({DATABASE: database_url}, {DATABASE: set(add(source, *names))})
    writers = [Writer(database_url, seed) for seed in range(WRITERS)]
    with ExitStack() as stack:
        ears = [Caches() for _ in range(listeners)]
        for caches in ears:
            stack.enter_context(listens(sources, caches))
            caches.after(0.0, Name("public", "t0"))
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            time.sleep(4)
            if lost:
                run(source, "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", backend(source)[:1])
        commits = [commit for writer in writers for commit in writer.commits]
        assert not [writer.error for writer in writers if writer.error]
        late = [caches.after(*commit) for caches in ears for commit in commits]  # or it fails
    print(f"{len(commits)} commits, latest stamp after {max(late):.3f} s")
    assert len(commits) > WRITERS * COMMITS * 0.8


def test_a_listener_says_why_it_hears_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: one line that names the database and the reason, and not one every second."""
    from superset_ext.core import warn_once as quiet

    monkeypatch.setattr(quiet, "_last", {})
    tried = threading.Event()
    count = iter(range(100))

    @contextmanager
    def connect(_number: int) -> Iterator[Any]:
        if next(count) == 2:
            tried.set()
        raise WatchError("it is a replica, where nobody writes")
        yield

    listener = DatabaseListener(3, dict, connect, Caches())
    listener.start()
    assert tried.wait(PATIENCE)
    listener.stop()
    listener.join(PATIENCE)
    said = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(said) == 1 and "database 3 is not listened to (it is a replica, where nobody writes)" in said[0]
