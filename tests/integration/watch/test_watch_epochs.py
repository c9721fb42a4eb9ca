"""Epochs: who notifies in them, and what writers pay."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.freshness.watch import epochs
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.watched import CHANNEL
from testing.versions import need
from testing.watches import SALES, add, all_notified, arm, connected, remove, run, state


class TestEpochs:
    def test_a_session_notifies_once_in_an_epoch(self, source: Any, second: Any, database_url: str) -> None:
        """Intent: a hundred commits are one notification of each session, until the listener begins anew."""
        add(source, "sales")
        run(second, f"LISTEN {CHANNEL}")
        arm(source)
        for _ in range(100):
            run(source, "UPDATE sales SET n = n + 1")
        with connected(database_url) as third:
            run(third, "UPDATE sales SET n = n + 1")
            assert len(all_notified(second)) == 2
            arm(source)
            run(third, "UPDATE sales SET n = n + 1")
            assert len(all_notified(second)) == 1

    def test_nobody_notifies_before_somebody_listens_or_while_muted(self, source: Any, second: Any) -> None:
        """Intent: without a listener a watch costs next to nothing."""
        run(second, f"LISTEN {CHANNEL}")
        add(source, "sales")
        run(source, "UPDATE sales SET n = n + 1")
        assert all_notified(second) == ['"list"']
        arm(source)
        ((epoch,),) = run(source, "SELECT last_value FROM superset_ext_watch.epoch_1")
        with transaction(source) as cursor:
            epochs.mute(cursor, {1: epoch})
        run(source, "UPDATE sales SET n = n + 1")
        assert all_notified(second) == []

    def test_muting_does_not_undo_a_later_arming(self, source: Any) -> None:
        """Intent: a listener that was slow must not mute what another one has armed since."""
        add(source, "sales")
        arm(source)
        ((heard,),) = run(source, "SELECT last_value FROM superset_ext_watch.epoch_1")
        arm(source)
        with transaction(source) as cursor:
            epochs.mute(cursor, {1: heard})
        assert run(source, "SELECT last_value FROM superset_ext_watch.epoch_1") == [(heard + 2,)]

    def test_what_is_rolled_back_was_not_notified(self, source: Any, second: Any) -> None:
        """Intent: the session forgets its notification where PostgreSQL does: whole transactions and savepoints."""
        add(source, "sales")
        run(second, f"LISTEN {CHANNEL}")
        arm(source)
        run(source, "BEGIN; UPDATE sales SET n = 5; ROLLBACK")
        assert all_notified(second) == []
        run(source, "BEGIN; SAVEPOINT a; UPDATE sales SET n = 6; ROLLBACK TO a; COMMIT")
        assert all_notified(second) == []
        run(source, "BEGIN; SAVEPOINT a; UPDATE sales SET n = 6; ROLLBACK TO a; UPDATE sales SET n = 7; COMMIT")
        assert len(all_notified(second)) == 1
        arm(source)
        run(source, "DO $$ BEGIN BEGIN UPDATE sales SET n = 8; RAISE 'x'; EXCEPTION WHEN OTHERS THEN NULL; END;"
                    " UPDATE sales SET n = 9; END $$")  # fmt: skip
        assert len(all_notified(second)) == 1
        arm(source)
        run(source, "BEGIN; SAVEPOINT a; SAVEPOINT b; UPDATE sales SET n = 6; RELEASE b; ROLLBACK TO a; COMMIT")
        run(source, "UPDATE sales SET n = 10")
        assert len(all_notified(second)) == 1

    def test_a_session_that_outlives_a_watch_notifies_of_the_next(
        self, source: Any, second: Any, database_url: str
    ) -> None:
        """Intent: numbers begin anew when everything was removed; what a session remembers of the old ones is void."""
        with connected(database_url) as writer:
            for _ in range(3):
                add(source, "sales")
                run(second, f"LISTEN {CHANNEL}")
                all_notified(second)
                arm(source)
                run(writer, "UPDATE sales SET n = n + 1")
                assert len(all_notified(second)) == 1
                remove(source, SALES)
                all_notified(second)

    def test_who_writes_is_seen_until_he_ends(self, source: Any, second: Any) -> None:
        """Intent: readers and lockers of rows are no writers; a writer is one from his first statement on."""
        add(source, "sales")
        run(second, "BEGIN; SELECT * FROM sales; SELECT * FROM sales FOR UPDATE")
        with transaction(source) as cursor:
            assert epochs.writers(cursor, [1]) == {1: frozenset()}
            run(second, "UPDATE sales SET n = 3")
            assert len(epochs.writers(cursor, [1])[1]) == 1
            run(second, "COMMIT")
            assert epochs.writers(cursor, [1]) == {1: frozenset()}


STATEMENTS = [
    "INSERT INTO sales VALUES (2, 2)",
    "UPDATE sales SET n = 7",
    "DELETE FROM sales",
    "TRUNCATE sales",
    "TRUNCATE top CASCADE",
    "INSERT INTO sales VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET n = 4",
    "MERGE INTO sales USING (SELECT 1 AS id) AS s ON s.id = sales.id WHEN MATCHED THEN UPDATE SET n = 9",
    "WITH gone AS (DELETE FROM sales RETURNING *) SELECT * FROM gone",
    "DELETE FROM top",
    "UPDATE seen SET n = 5",
    "SELECT write_it()",
    "COPY",
    "SET session_replication_role = replica; UPDATE sales SET n = 11",
]


class TestWriters:
    @pytest.mark.parametrize("sql", STATEMENTS)
    def test_every_way_to_write_is_heard(self, source: Any, second: Any, sql: str) -> None:
        """Intent: whatever changes the table notifies, also through a view, a function or a foreign key."""
        if sql.startswith("MERGE"):
            need(source, 15, "MERGE")
        run(source, "CREATE TABLE top (id int PRIMARY KEY); INSERT INTO top VALUES (1);"
                    "ALTER TABLE sales ADD FOREIGN KEY (id) REFERENCES top ON DELETE CASCADE;"
                    "CREATE VIEW seen AS SELECT * FROM sales;"
                    "CREATE FUNCTION write_it() RETURNS void LANGUAGE sql AS 'UPDATE sales SET n = 8'")  # fmt: skip
        run(source, "INSERT INTO top VALUES (2)")
        add(source, "sales")
        run(second, f"LISTEN {CHANNEL}")
        arm(source)
        if sql == "COPY":
            import io

            with source.cursor() as cursor:
                cursor.copy_expert("COPY sales FROM STDIN", io.StringIO("2\t5\n"))
        else:
            run(source, sql)
        assert len(all_notified(second)) == 1

    @pytest.mark.parametrize("hardened", [False, True])
    def test_a_writer_needs_no_rights(self, source: Any, second: Any, role: Callable[..., Any], hardened: bool) -> None:
        """Intent: who could write before can write after, armed and muted, and is heard; also where somebody took
        from everybody what is granted to everybody."""
        writer = role("INSERT ON sales")
        add(source, "sales")
        if hardened:
            revoke = "REVOKE ALL ON SCHEMA superset_ext_watch FROM PUBLIC;"
            run(source, revoke + "REVOKE ALL ON ALL SEQUENCES IN SCHEMA superset_ext_watch FROM PUBLIC")
        run(second, f"LISTEN {CHANNEL}")
        run(writer, "INSERT INTO sales VALUES (10, 1)")
        arm(source)
        run(writer, "SET search_path = pg_temp; INSERT INTO public.sales VALUES (11, 1)")
        assert len(all_notified(second)) == 1

    def test_a_broken_watch_breaks_no_writer(self, source: Any, second: Any) -> None:
        """Intent: somebody drops our sequence by hand: rows are written all the same."""
        add(source, "sales")
        arm(source)
        run(source, "UPDATE sales SET n = 2")
        with pytest.raises(psycopg2.Error, match="trigger superset_ext_watch_1 on table sales depends on sequence"):
            run(source, "DROP SEQUENCE superset_ext_watch.epoch_1")
        run(source, "DROP SEQUENCE superset_ext_watch.epoch_1 CASCADE")
        run(source, "UPDATE sales SET n = 3")
        run(second, "UPDATE sales SET n = 4")
        assert run(source, "SELECT n FROM sales") == [(4,)]
        assert not state(source)[SALES].intact

    def test_a_full_queue_breaks_no_writer(self, source: Any, server: Callable[..., Postgres]) -> None:
        """Intent: PostgreSQL fails the commit of whoever notifies into a full queue; ours do not notify then."""
        need(source, 17, "a queue that is smaller than 8 GiB")
        url = server(max_notify_queue_pages="64").url()
        with connected(url) as connection, connected(url) as stuck:
            run(connection, "CREATE TABLE sales (n int)")
            add(connection, "sales")
            arm(connection)
            run(stuck, "LISTEN other")
            run(stuck, "BEGIN; SELECT 1")
            with pytest.raises(psycopg2.Error, match="too many notifications"):
                for number in range(10_000):
                    run(connection, "SELECT pg_notify('other', %s || repeat('x', 7000))", str(number))
            run(connection, "INSERT INTO sales VALUES (1)")
            assert run(connection, "SELECT n FROM sales") == [(1,)]

    def test_a_serializable_writer_meets_no_conflict(self, source: Any, second: Any) -> None:
        """Intent: the trigger reads and writes nothing that another transaction could conflict with."""
        run(source, "INSERT INTO sales VALUES (2, 2)")
        add(source, "sales")
        arm(source)
        for connection, number in ((source, 1), (second, 2)):
            run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ")
            run(connection, "UPDATE sales SET n = n + 1 WHERE id = %s", number)
        arm_again = psycopg2.connect(source.dsn, password=source.info.password)
        with closing(arm_again):
            arm(arm_again)
        for connection, number in ((source, 1), (second, 2)):
            run(connection, "UPDATE sales SET n = n + 1 WHERE id = %s", number)
            run(connection, "COMMIT")
