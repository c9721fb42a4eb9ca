"""Nothing is lost while nobody hears: restarts, lost connections, several listeners, many writers."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.errors import StoreUnavailable, UnknownDatabase, WatchError
from superset_ext.freshness.watch import connection as connecting
from superset_ext.freshness.watch import session as sessions
from superset_ext.freshness.watch.listener import DatabaseListener
from superset_ext.freshness.watch.watched import CHANNEL, Name
from testing.listening import (
    DATABASE,
    OTHER,
    PATIENCE,
    SALES,
    Caches,
    Moment,
    Sources,
    add,
    backend,
    listens,
    opened,
    run,
    silent,
    until,
    write,
)

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


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that looks ten times as often as in production, and says at each of its turns what it hears."""
    monkeypatch.setattr(sessions, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(sessions, "BEAT_SECONDS", 0.0)


@pytest.mark.usefixtures("hurried")
class TestBeats:
    """Readers trust a watched table for as long as they hear that somebody listens to it."""

    def test_it_beats_while_it_hears(self, source: Any, caches: Caches) -> None:
        """Intent: again and again, of all that it hears, and only after all was told that happened before."""
        assert caches.beaten(caches.beats[-1][0] if caches.beats else 0.0)
        at, number, names = caches.beats[0]
        assert (number, names) == (DATABASE, {SALES, OTHER})
        assert min(stamped.at for stamped in caches.stamps) < at

    def test_it_is_silent_while_it_cannot_tell(self, source: Any, caches: Caches) -> None:
        """Intent: who has heard and could not stamp must not say that all is told."""
        caches.failure = StoreUnavailable("away")
        write(source)
        caches.failing(1)
        silent_since = time.monotonic()
        caches.failing(caches.failed + 5)
        assert not [at for at, *_ in caches.beats if at > silent_since]
        caches.failure = None
        assert caches.beaten(silent_since)

    def test_it_is_silent_without_a_connection(self, source: Any, sources: Sources, caches: Caches) -> None:
        """Intent: nobody hears while the source cannot be reached."""
        sources.refused = WatchError("no way")
        (pid,) = backend(source)
        run(source, "SELECT pg_terminate_backend(%s)", pid)
        until(lambda: sources.refusals)  # so the lost session has ended
        silent_since = time.monotonic()
        until(lambda: sources.refusals > 2)
        assert not [at for at, *_ in caches.beats if at > silent_since]
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
        assert {stamped.table for stamped in caches.stamps} == {f"{DATABASE}:public.sales", f"{DATABASE}:public.other"}

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

    @pytest.mark.usefixtures("hurried")
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


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.marathon)])
def test_two_listeners_both_tell(source: Any, session: Callable[[], Any], sources: Sources, times: int) -> None:
    """Intent: two containers run, for two caches even; what one mutes the other has heard of."""
    first, second = Caches(), Caches()
    writers = [session() for _ in range(2)]
    with listens(sources, first), listens(sources, second):
        first.after(0.0)
        second.after(0.0)
        for pause in [0.0, 0.2, 0.5, 0.9, 1.0, 1.1, 1.3] * times:
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


WRITERS, TABLES = 20, 12


class Writer(threading.Thread):
    """Writes at random: short and long transactions, savepoints, rollbacks, new sessions, pauses around a second.

    There are more tables than others could hide a missing stamp of.
    """

    def __init__(self, url: str, seed: int, writes: int) -> None:
        super().__init__()
        self._url, self._writes = url, writes
        self._chance = random.Random(seed)
        self.commits: list[tuple[Moment, Name]] = []
        self.error: Exception | None = None

    def run(self) -> None:
        connection = opened(self._url)
        try:
            for _ in range(self._writes):
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


@pytest.mark.parametrize(
    ("listeners", "lost", "writes"),
    [
        (1, False, 5),
        pytest.param(2, True, 5, marks=pytest.mark.thorough),
        *(pytest.param(*case, 12, marks=pytest.mark.marathon) for case in ((1, False), (2, True))),
    ],
)
def test_every_commit_is_followed_by_a_stamp(
    source: Any, database_url: str, listeners: int, lost: bool, writes: int
) -> None:
    """Intent: the promise, over some hundreds of commits, where connections of listeners are lost or are not."""
    names = [f"t{number}" for number in range(TABLES)]
    run(source, "".join(f"CREATE TABLE {name} (n int);" for name in names))
    sources = Sources({DATABASE: database_url}, {DATABASE: set(add(source, *names))})
    writers = [Writer(database_url, seed, writes) for seed in range(WRITERS)]
    with ExitStack() as stack:
        ears = [Caches() for _ in range(listeners)]
        for caches in ears:
            stack.enter_context(listens(sources, caches))
            caches.after(0.0, Name("public", "t0"))
        for writer in writers:
            writer.start()
        while alive := [writer for writer in writers if writer.is_alive()]:
            alive[0].join(4)
            if lost:
                run(source, "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", backend(source)[:1])
        commits = [commit for writer in writers for commit in writer.commits]
        assert not [writer.error for writer in writers if writer.error]
        late = [caches.after(*commit) for caches in ears for commit in commits]  # or it fails
    print(f"{len(commits)} commits, latest stamp after {max(late):.3f} s")
    assert len(commits) > WRITERS * writes * 0.8


def test_a_listener_says_why_it_hears_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Intent: one line that names the database and the reason, and not one every second."""
    tried = threading.Event()
    count = iter(range(100))

    @contextmanager
    def connect(_number: int) -> Iterator[Any]:
        if next(count) == 2:
            tried.set()
        raise WatchError("it is a replica, where nobody writes")
        yield

    listener = DatabaseListener(3, dict, connect, Caches(), title="sales (id {})".format)
    listener.start()
    assert tried.wait(PATIENCE)
    listener.stop()
    listener.join(PATIENCE)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "sales (id 3) is not listened to (it is a replica, where nobody writes)" in warning


def test_a_database_that_superset_has_no_more_is_not_distrusted_for_ever() -> None:
    """Intent: its watch stays wanted until somebody removes it; until then no reader pays for its silence."""
    beats: list[tuple[int, list[Name]]] = []
    heard = threading.Event()

    @contextmanager
    def connect(number: int) -> Iterator[Any]:
        raise UnknownDatabase(f"Superset has no database {number}")
        yield

    def beat(number: int, names: Collection[Name]) -> None:
        beats.append((number, list(names)))
        heard.set()

    listener = DatabaseListener(3, dict, connect, Caches(), beat)
    listener.start()
    assert heard.wait(PATIENCE)
    listener.stop()
    listener.join(PATIENCE)
    assert beats[0] == (3, [])
