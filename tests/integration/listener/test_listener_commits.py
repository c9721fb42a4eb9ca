"""Every commit to a watched table is told: plain, prepared, of a part."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import psycopg2
import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.freshness.watch import repairs, triggers
from superset_ext.freshness.watch import session as sessions
from superset_ext.freshness.watch.schema import take_turn
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.watched import CHANNEL, Name
from testing.listening import (
    DATABASE,
    OTHER,
    PATIENCE,
    Caches,
    Sources,
    add,
    listens,
    opened,
    run,
    silent,
    until,
    write,
)


class TestCommits:
    def test_a_commit_is_told(self, source: Any, caches: Caches) -> None:
        """Intent: the first commit after a quiet time, and only of its table."""
        began = time.monotonic()
        write(source)
        caches.after(began)
        caches.after(write(source))
        caches.cold()
        assert not [stamped for stamped in caches.stamps if stamped[0] > began and stamped[1] == "7:public.other"]

    def test_only_what_was_heard_is_told_as_a_change(self, source: Any, caches: Caches) -> None:
        """Intent: what is stamped since the listener has only begun is a precaution; a commit is a change. So a restart
        does not look like a commit."""
        assert {stamped.unheard for stamped in caches.stamps if not stamped.again} == {True}
        caches.cold()
        before = len(caches.stamps)
        caches.after(write(source))
        assert [stamped.unheard for stamped in caches.stamps[before:] if not stamped.again] == [False]

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
        assert not [stamped for stamped in caches.stamps if stamped[0] > began and stamped[1] == "7:public.sales"]

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
        assert not [stamped for stamped in caches.stamps if stamped[0] > began and stamped[1] == "7:public.sales"]


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
        assert [notice.payload for notice in ears.notifies] == ['"list"']

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
            caches.cold()  # the attempt to make it has failed
        caches.after(write(loader, "COMMIT"))

    def test_a_commit_while_triggers_are_made(
        self, source: Any, session: Callable[[], Any], caches: Caches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: to make a trigger may take as long as a lock is held; what commits meanwhile is told of before the
        next one is made, and does not wait for all of them."""
        writer, committed, stamped_before = session(), [], []
        make = repairs.Repairs.make

        def made(self: repairs.Repairs, name: Name) -> bool:
            if committed:
                stamped_before.append(any(stamped.table.endswith(".third") and committed[0].before(stamped)
                                for stamped in caches.stamps))  # fmt: skip
            else:
                committed.append(write(writer, "INSERT INTO third VALUES (1)"))
            return make(self, name)

        run(source, "CREATE TABLE third (n int)")
        caches.sources.wanted[DATABASE] |= {*add(source, "third")}
        caches.after(time.monotonic(), Name("public", "third"))
        caches.cold()
        monkeypatch.setattr(repairs.Repairs, "make", made)
        run(source, "BEGIN; DROP TABLE sales, other; CREATE TABLE sales (n int); CREATE TABLE other (n int); COMMIT")
        until(lambda: _intact(source))
        assert stamped_before == [True]

    def test_what_is_heard_waits_for_no_look(
        self, source: Any, caches: Caches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Intent: a look at what is watched takes long where there are many tables; a commit is told of before it."""
        caches.cold()
        looked = Event()
        state, heard = sessions.state, []

        def late(cursor: Any) -> Any:
            if heard and not looked.is_set():
                looked.set()
                stamped_before.append(caches.news(heard[0]))
            return state(cursor)

        stamped_before: list[int] = []
        hear = sessions.Session._hear

        def hearing(self: sessions.Session, *args: Any) -> None:
            if not heard:
                heard.append(time.monotonic())
                self._next_look = 0.0  # a look is due in the same turn
            hear(self, *args)

        monkeypatch.setattr(sessions.Session, "_hear", hearing)
        monkeypatch.setattr(sessions, "state", late)
        write(source)
        assert looked.wait(PATIENCE)
        assert stamped_before == [1]

    def test_a_swap_is_one_change(self, source: Any, caches: Caches) -> None:
        """Intent: the stamp after a trigger is made repeats that of the swap; statistics count the swap alone."""
        began = caches.cold()
        caches.after(write(source, "BEGIN; CREATE TABLE newer AS SELECT * FROM sales; DROP TABLE sales;"
                                   " ALTER TABLE newer RENAME TO sales; COMMIT"))  # fmt: skip
        until(lambda: _intact(source))
        caches.cold()
        assert caches.news(began) == 1


def _intact(connection: Any) -> bool:
    with transaction(connection) as cursor:
        return all(watched.intact for watched in triggers.state(cursor))
