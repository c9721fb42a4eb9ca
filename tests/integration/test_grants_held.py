"""Marks that are remembered as holding, beside the statement that looks at each anew."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from sqlalchemy import create_engine

from superset_ext.grants import held, metadata_stamps
from superset_ext.grants.metadata_stamps import MetadataStamps
from superset_ext.grants.planned import NAME, STILL, still
from testing.databases import Databases
from testing.warming import until

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("patient_grants")]
STEPS = int(os.environ.get("HELD_STEPS", "500"))
Mark = tuple[str, str]
TABLES = """
CREATE TABLE ab_user (id int);
CREATE TABLE ab_user_role (id int PRIMARY KEY, user_id int, role_id int);
INSERT INTO ab_user_role VALUES (1, 1, 1);
CREATE TABLE elsewhere (id int);
"""
WRITES = (
    "UPDATE ab_user_role SET role_id = role_id + 1",
    "INSERT INTO superset_ext_grants.change (xid, dashboard) VALUES (pg_current_xact_id(), 1)",
    "INSERT INTO superset_ext_grants.change (xid, dashboard) VALUES (pg_current_xact_id(), 2)",
    *["INSERT INTO elsewhere VALUES (1)"] * 6,
)
TRIGGER = (
    "ALTER TABLE ab_user_role DISABLE TRIGGER superset_ext_grants",
    "ALTER TABLE ab_user_role ENABLE ALWAYS TRIGGER superset_ext_grants",
)


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """A metadata database with a table that is watched and one that is not."""
    with databases.empty() as url:
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(TABLES)
        yield url


@pytest.fixture(params=["planned", "behind a pooler"])
def stamps(url: str, request: pytest.FixtureRequest) -> Iterator[MetadataStamps]:
    """Stamps of it, whose connections have the statement of a hit, or find that they have not."""
    engine = create_engine(url)
    made = MetadataStamps(lambda: engine, lambda: ["ab_user_role"])
    made.install()
    assert made.look(), made.missing
    if request.param != "planned":
        _lose_plans(made)
    yield made
    made._connections().dispose()
    engine.dispose()


class Writer:
    """A connection that may have a transaction open.

    Args:
        url: where to.
    """

    def __init__(self, url: str) -> None:
        self.raw = psycopg2.connect(url, options="-c lock_timeout=50ms")
        self.raw.autocommit = True

    def run(self, sql: str) -> Any:
        """Run a statement, which another writer's lock may refuse; the first value that it returns."""
        try:
            with self.raw.cursor() as cursor:
                cursor.execute(sql)
                row = cursor.fetchone() if cursor.description else None
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.InFailedSqlTransaction):
            return None
        return row[0] if row else None

    def step(self, draw: random.Random) -> None:
        """Begin, write or end, as it comes."""
        if self.raw.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            self.run(draw.choice(("BEGIN", *WRITES)))
        else:
            self.run(draw.choice(("COMMIT", "ROLLBACK", *WRITES)))


@contextmanager
def writers(url: str, count: int) -> Iterator[list[Writer]]:
    """So many writers, whose connections end with the block."""
    made = [Writer(url) for _ in range(count)]
    try:
        yield made
    finally:
        for writer in made:
            writer.raw.close()


def _lose_plans(stamps: MetadataStamps) -> None:
    """Have the next statement find another connection of the server, as a pooler gives it for each transaction."""
    stamps._connections().send("DEALLOCATE ALL; SELECT 1", ()).row(60)


def _asks(stamps: MetadataStamps) -> list[Any]:
    """What is asked of the server from now on: the name of the moment that was sent."""
    sent: list[Any] = []
    row = stamps._row

    def noted(sql: str, values: Any) -> Any:
        moment = values[0] if sql == STILL else values[-1] if "held_still(" in sql else None
        if not (sql == STILL and (answer := row(sql, values)) is None):
            sent.append(moment)
        return answer if sql == STILL else row(sql, values)

    stamps._row = noted  # type: ignore[method-assign]
    return sent


def test_what_is_remembered_is_what_each_mark_says(url: str, stamps: MetadataStamps) -> None:
    """Intent: over transactions that end in any order, dashboards, triggers that are switched off and on, and minutes
    that pass, a mark holds just where the server says so of the mark itself."""
    draw, marks, given, begun = random.Random(STEPS), list[tuple[Mark, tuple[int, ...] | None]](), 0, 0
    with writers(url, 4) as made, pytest.MonkeyPatch.context() as patch:
        oracle = Writer(url)
        for number in range(STEPS):
            draw.choice(made).step(draw)
            if draw.random() < 0.02:
                for sql in TRIGGER:
                    oracle.run(sql)
                stamps.look()
            patch.setattr(held, "SECONDS", draw.choice((60.0, 60.0, 60.0, 0.0)))
            if (mark := stamps.now()) and draw.random() < 0.3:
                marks.append((mark, draw.choice((None, (), (1,), (1, 2)))))
            marks = marks[-30:]
            for mark, boards in draw.sample(marks, min(6, len(marks))):
                numbers = "NULL" if boards is None else f"'{{{','.join(map(str, boards))}}}'"
                says = oracle.run(f"SELECT superset_ext_grants.holds('{mark[0]}', '{mark[1]}', {numbers})")
                early = stamps.begin() if draw.random() < 0.5 else None
                assert stamps.holds(mark, boards, early) is says, (number, mark, boards)
                begun += early is not None
                given += says
        oracle.raw.close()
    assert given > STEPS / 4 and begun > STEPS / 20


def test_nothing_holds_that_was_committed_before_anybody_asked(url: str, stamps: MetadataStamps) -> None:
    """Intent: eight threads that share what is remembered, while writers commit: a mark from before a commit that has
    returned holds for none of them."""
    lock, done, wrong, held_by = threading.Lock(), threading.Event(), list[Any](), [0] * 8
    marks: list[Mark] = []

    def ask(number: int) -> None:
        while not done.is_set():
            with lock:
                known = list(marks)
            holds = [stamps.holds(mark, early=stamps.begin() if number % 2 else None) for mark in known]
            with lock:
                stale = [mark for mark, held in zip(known, holds, strict=True) if held and mark not in marks]
            held_by[number] += sum(map(bool, holds))
            # Those that were forgotten while they were asked about may have been asked before the commit.
            wrong.extend(mark for mark in stale if stamps.holds(mark))

    with writers(url, 2) as (watched, other), ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(ask, number) for number in range(8)]
        for number in range(200):
            for _ in range(3):
                if mark := stamps.now():
                    with lock:
                        marks.append(mark)
                other.run("INSERT INTO elsewhere VALUES (1)")
            if number % 4 == 0:
                watched.run(WRITES[0])
                with lock:
                    marks.clear()
        done.set()
        for one in asking:
            one.result()
    assert wrong == [] and min(held_by) > 0


def test_a_moment_costs_one_look(url: str, stamps: MetadataStamps) -> None:
    """Intent: ten grants are remembered; something else is committed, after which one of them is looked at, and the
    others follow from it."""
    with writers(url, 1) as (writer,):
        marks = []
        for _ in range(10):
            marks.append(stamps.now())
            writer.run("INSERT INTO elsewhere VALUES (1)")
        assert all(stamps.holds(mark) for mark in marks if mark)
        writer.run("INSERT INTO elsewhere VALUES (1)")
        before, sent = stamps._held.moment, _asks(stamps)
        assert all(stamps.holds(mark) for mark in marks if mark)
        assert sent == [before] + [stamps._held.moment] * 9 and before != stamps._held.moment
        writer.run(WRITES[0])
        assert not any(stamps.holds(mark) for mark in marks if mark)


def test_after_a_write_that_does_not_matter_each_is_asked_about_once(url: str, stamps: MetadataStamps) -> None:
    """Intent: something was written to another dashboard than five grants have read, after which the first is asked
    about by two statements, each of the others by one, and afterwards all of them by what held then."""
    with writers(url, 1) as (writer,):
        marks = [
            mark for _ in range(5) if (mark := stamps.now()) and writer.run("INSERT INTO elsewhere VALUES (1)") is None
        ]
        assert all(stamps.holds(mark, (1,)) for mark in marks)
        before, sent = stamps._held.moment, _asks(stamps)
        writer.run(WRITES[2])
        assert all(stamps.holds(mark, (1,)) for mark in marks)
        last = stamps._held.moment
        assert sent == [before, None, *[last] * 4] and before != last
        assert all(stamps.holds(mark, (1,)) for mark in marks) and sent[6:] == [last] * 5
        assert not stamps.holds(marks[0], (2,))


def test_a_moment_that_is_too_old_is_replaced(url: str, stamps: MetadataStamps) -> None:
    """Intent: a minute has passed in which nothing was committed; what is asked about then is remembered as of now."""
    mark = stamps.now()
    assert mark and stamps.holds(mark)
    moment, sent = stamps._held.moment, _asks(stamps)
    stamps._held = held.Held(moment, stamps._held.under, _until=0.0)
    assert stamps.holds(mark) and stamps.holds(mark)
    assert sent == [None, moment]


def test_both_statements_name_a_moment_alike(url: str, stamps: MetadataStamps) -> None:
    """Intent: the planned statement makes the very name that `held_still` makes: were it another one, each hit would
    cost what a change costs, and nobody would see it."""
    mark = stamps.now()
    assert mark and stamps.holds(mark)
    with writers(url, 1) as (writer,):
        assert writer.run(f"SELECT {NAME}") == stamps._held.moment


BETWEEN: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "something else": (WRITES[-1],),
    "a right": (WRITES[0],),
    "the contents of a dashboard": (WRITES[1],),
    "a trigger that is off": (TRIGGER[0],),
    "a trigger that was off": TRIGGER,
    "the id of the run": ("UPDATE superset_ext_grants.run SET id = gen_random_uuid()",),
    "our table": ("TRUNCATE superset_ext_grants.change",),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_both_statements_say_alike_whether_all_holds(url: str, between: str) -> None:
    """Intent: what was written since decides, whichever of the two is asked; a check of one text that says `yes` where
    the other says `no` would give what has ended."""
    engine = create_engine(url)
    stamps = MetadataStamps(lambda: engine, lambda: ["ab_user_role"])
    stamps.install()
    assert stamps.look() and (mark := stamps.now()) and stamps.holds(mark)
    before = stamps._held
    with writers(url, 1) as (writer,):
        for sql in BETWEEN[between]:
            writer.run(sql)
        moment = writer.run(f"SELECT {NAME}")
    answers = [stamps._row(*still(before, is_planned))[0] for is_planned in (True, False)]
    assert stamps._are_planned and answers == [moment if between in ("nothing", "something else") else None] * 2
    assert (moment == before.moment) is (between == "nothing")
    stamps._connections().dispose()
    engine.dispose()


def test_what_is_begun_is_as_of_when_it_was_sent(url: str, stamps: MetadataStamps) -> None:
    """Intent: nothing that was committed before a check was begun is missed by it, with a plan or without."""
    mark = stamps.now()
    with writers(url, 1) as (writer,):
        assert mark and stamps.begin() is None  # nothing is known yet
        assert stamps.holds(mark)
        early = stamps.begin()
        assert early is not None and stamps.holds(mark, early=early)
        writer.run(WRITES[0])
        early = stamps.begin()
        assert early is not None and stamps.holds(mark, early=early) is False
        assert not stamps.holds(mark) and stamps.ready()


def test_a_check_of_what_was_not_looked_at_yet_is_asked_by_itself(url: str, stamps: MetadataStamps) -> None:
    """Intent: what was begun says nothing of a mark that it is not about, and holds up nobody who asks about that."""
    first = stamps.now()
    with writers(url, 1) as (writer,):
        assert first and stamps.holds(first)
        writer.run(WRITES[0])
        second = stamps.now()
        assert second
        early = stamps.begin()
        assert stamps.holds(second, early=early) and not stamps.holds(first)
        assert early is not None and early.sent._connection is None
    assert len(stamps._connections()._idle) == 1


def test_a_check_whose_connection_is_lost_is_asked_anew(stamps: MetadataStamps) -> None:
    """Intent: a server that restarts, or a proxy, ends the connection between sending and reading."""
    mark = stamps.now()
    assert mark and stamps.holds(mark)
    early = stamps.begin()
    assert early is not None
    connection = early.sent._connection
    assert connection is not None
    connection.close()
    assert stamps.holds(mark, early=early) and stamps.ready() and stamps.holds(mark)


def test_a_busy_process_does_not_take_the_server_for_silent(
    stamps: MetadataStamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: who finds all connections in use waits once, and is given nothing again; nobody waits for a moment then,
    after which all is as before."""
    stamps._connections().dispose()
    stamps._pool = None
    monkeypatch.setattr(metadata_stamps, "_WAIT", 0.25)
    monkeypatch.setattr(metadata_stamps, "_POOL", 1)
    monkeypatch.setattr(metadata_stamps, "_BUSY", 60.0)  # longer than this test
    monkeypatch.setattr(stamps._connections(), "_patience", 1.1 * metadata_stamps._WAIT)
    mark = stamps.now()
    assert mark and stamps.holds(mark)
    sent, pool = stamps._connections().send("SELECT 1", ()), stamps._connections()
    asked: list[str] = []
    send = pool.send
    monkeypatch.setattr(pool, "send", lambda sql, values: (asked.append(sql), send(sql, values))[1])
    assert stamps.holds(mark) is None and stamps.now() is None and stamps.begin() is None
    assert len(asked) == 1
    sent.drop()
    assert stamps._silent_until > time.monotonic() + 30  # as for one that is busy, not as for one that is silent
    stamps._silent_until = float("-inf")
    until(lambda: stamps.holds(mark), 60)


def test_a_statement_that_is_gone_is_asked_in_the_other_way(url: str, stamps: MetadataStamps) -> None:
    """Intent: a pooler gives each transaction another connection of the server, which has no plan: what holds holds all
    the same, and what was written is seen, by the connections that plan as by those that cannot."""
    mark = stamps.now()
    with writers(url, 1) as (writer,):
        assert mark and stamps.holds(mark)
        _lose_plans(stamps)
        assert stamps.holds(mark) and not stamps._are_planned and stamps.ready()
        writer.run(WRITES[0])
        assert not stamps.holds(mark) and stamps.ready()


def test_a_plan_that_is_gone_once_a_check_is_begun(url: str, stamps: MetadataStamps) -> None:
    """Intent: what was begun finds no plan, and is asked in the other way; the next check is begun in that way."""
    mark = stamps.now()
    with writers(url, 1) as (writer,):
        assert mark and stamps.holds(mark)
        _lose_plans(stamps)
        stamps._are_planned = True
        early = stamps.begin()
        assert early is not None and stamps.holds(mark, early=early) and not stamps._are_planned and stamps.ready()
        sent = _asks(stamps)
        early = stamps.begin()
        assert early is not None and stamps.holds(mark, early=early) and sent == []  # nothing else was asked
        early = stamps.begin()
        writer.run(WRITES[0])
        stamps.holds(mark, early=early)
        assert early is not None and not stamps.holds(mark)


def test_a_check_that_was_begun_and_is_refused_says_nothing(url: str, stamps: MetadataStamps) -> None:
    """Intent: somebody takes the triggers away while nobody looks: the check is refused, and nothing holds."""
    mark = stamps.now()
    with writers(url, 1) as (writer,):
        assert mark and stamps.holds(mark)
        writer.run("DROP SCHEMA superset_ext_grants CASCADE")
        for _ in range(3):
            assert not stamps.holds(mark, early=stamps.begin())
        assert not stamps.look() and stamps.now() is None


def test_one_connection_that_was_closed_is_not_asked_for_after_another(url: str, stamps: MetadataStamps) -> None:
    """Intent: a restart closes all connections at once; who asks next has an answer, by one that is made anew."""
    mark = stamps.now()
    assert mark and stamps.holds(mark)
    for sent in [stamps._connections().send("SELECT 1", ()) for _ in range(4)]:
        sent.row(60)
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with writers(url, 1) as (writer,):
        writer.run(f"SELECT count(pg_terminate_backend(pid)) {others}")
        until(lambda: writer.run(f"SELECT count(*) {others}") == 0, 60)
        assert stamps.holds(mark) and stamps.ready()
        assert len(stamps._connections()._idle) == 1
