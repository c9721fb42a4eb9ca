"""Watches on a source: what is made there, what is refused, what is left behind, and what writers notice of it."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from superset_ext.cli.watch import print_watches
from superset_ext.core.log_database import SQL
from superset_ext.embedded.postgres import Postgres, binary
from superset_ext.errors import WatchError
from superset_ext.freshness.watch import epochs, schema, triggers
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.watched import CHANNEL, LISTENER, Name, Watched, quoted
from testing.charts import Chart, database_id
from testing.programs import program
from testing.serving import Client, process
from testing.stack import RunningStack
from testing.warming import PATIENCE, perf, until

SALES = Name("public", "sales")
_CATALOG = """
SELECT 'class', n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL SELECT 'proc', n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname FROM pg_trigger
UNION ALL SELECT 'namespace', nspname FROM pg_namespace
UNION ALL SELECT 'type', n.nspname || '.' || t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
UNION ALL SELECT 'acl', c.relname || c.relacl::text FROM pg_class c WHERE relacl IS NOT NULL
ORDER BY 1, 2
"""


@contextmanager
def connected(url: str, **options: Any) -> Iterator[Any]:
    with closing(psycopg2.connect(url, **options)) as connection:
        connection.autocommit = True
        yield connection


def run(connection: Any, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def add(connection: Any, *tables: str, two_phase_unused: bool = False) -> list[Name]:
    with transaction(connection) as cursor:
        return triggers.add(cursor, tables, two_phase_unused)


def remove(connection: Any, *names: Name) -> None:
    with transaction(connection) as cursor:
        triggers.remove(cursor, names)


def state(connection: Any) -> dict[Name, Watched]:
    with transaction(connection) as cursor:
        return {each.name: each for each in triggers.state(cursor)}


def arm(connection: Any, *names: Name) -> None:
    with transaction(connection) as cursor:
        epochs.arm(cursor, [each.id for each in triggers.state(cursor) if not names or each.name in names])


def notified(connection: Any, count: int) -> list[str]:
    """The payloads of the next notifications; fewer than `count` are an error."""
    found: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < deadline, f"{found} is all that was notified"
        select.select([connection], [], [], 0.1)
        connection.poll()
        found += [each.payload for each in connection.notifies]
        connection.notifies.clear()
    return found


def all_notified(connection: Any) -> list[str]:
    """The payloads of all notifications of commits that came before; a mark is notified as the last one."""
    mark = uuid.uuid4().hex
    run(connection, "SELECT pg_notify(%s, %s)", CHANNEL, mark)
    found: list[str] = []
    while mark not in found:
        found += notified(connection, 1)
    return [each for each in found if each != mark]


@pytest.fixture
def source(database_url: str) -> Iterator[Any]:
    """A connection to a source with a table."""
    with connected(database_url) as connection:
        run(connection, "CREATE TABLE sales (id int PRIMARY KEY, n int); INSERT INTO sales VALUES (1, 1)")
        yield connection


@pytest.fixture
def second(database_url: str) -> Iterator[Any]:
    """Another connection to it."""
    with connected(database_url) as connection:
        yield connection


@pytest.fixture
def role(source: Any, postgres: Postgres, database_url: str) -> Iterator[Callable[..., Any]]:
    """Makes a role without rights, and connects as it."""
    made: list[str] = []
    open_: list[Any] = []

    def make(*rights: str) -> Any:
        name = f"r_{uuid.uuid4().hex[:8]}"
        run(source, f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
        for right in rights:
            run(source, f"GRANT {right} TO {name}")
        made.append(name)
        connection = psycopg2.connect(database_url, user=name, password="x")
        connection.autocommit = True
        open_.append(connection)
        return connection

    yield make
    for connection in open_:
        connection.close()
    for name in made:
        run(source, f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., Postgres]]:
    """Makes servers of the test's own, with settings."""
    made: list[Postgres] = []

    def make(name: str = "own", **settings: str) -> Postgres:
        one = Postgres(tmp_path / name)
        one.initialise()
        with (tmp_path / name / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        made.append(one)
        return one.start()

    yield make
    for one in made:
        one.stop()


class TestAdd:
    def test_a_commit_notifies_with_the_name(self, source: Any, second: Any) -> None:
        """Intent: what the listener needs is in the notification, and names no number that a restore would change."""
        assert add(source, "public.sales") == [SALES]
        run(second, f"LISTEN {CHANNEL}")
        arm(source)
        run(source, "UPDATE sales SET n = 2")
        ((number, epoch),) = run(source, "SELECT id, last_value FROM superset_ext_watch.watched, "
                                         "superset_ext_watch.epoch_1")  # fmt: skip
        assert all_notified(second) == [f'[{number}, {epoch}, "public", "sales"]']

    def test_it_says_what_is_there(self, source: Any) -> None:
        """Intent: a watch that is whole is told from one that is not."""
        add(source, "sales")
        found = state(source)[SALES]
        assert found.intact and found.missing == 0 and found.notified_at is None and found.part_of == ()
        run(source, "ALTER TABLE sales DISABLE TRIGGER ALL")
        assert not state(source)[SALES].intact

    def test_twice_is_once(self, source: Any) -> None:
        """Intent: whoever adds again gets the same watch, and no second trigger."""
        add(source, "sales")
        before, rows = run(source, _CATALOG), state(source)
        assert add(source, "public.sales", "sales") == [SALES, SALES]
        assert (run(source, _CATALOG), state(source)) == (before, rows)

    def test_adding_again_mends(self, source: Any) -> None:
        """Intent: what somebody took away or disabled by hand is back after another `watch add`."""
        add(source, "sales")
        run(source, "ALTER TABLE sales DISABLE TRIGGER ALL; DROP SEQUENCE superset_ext_watch.epoch_1 CASCADE")
        assert not state(source)[SALES].intact
        add(source, "sales")
        assert state(source)[SALES].intact
        run(source, "DROP TRIGGER superset_ext_watch_1 ON sales")
        add(source, "sales")
        assert state(source)[SALES].intact

    def test_several_are_added_together_or_not_at_all(self, source: Any) -> None:
        """Intent: nothing is half installed: a table that cannot be watched undoes what came before it."""
        before = run(source, _CATALOG)
        with pytest.raises(WatchError, match=r"there is no table public\.nothing"):
            add(source, "sales", "public.nothing")
        assert run(source, _CATALOG) == before

    @pytest.mark.parametrize(
        "name", ["Sales", 'a"b', "a.b", "c d", "ümläut", "$body$", "x'y", "back\\slash", "%s", "n" * 63]
    )
    def test_odd_names(self, source: Any, second: Any, name: str) -> None:
        """Intent: no name breaks the SQL that is made of it, and the notification has it letter by letter."""
        identifier = quoted(name)
        run(source, f"CREATE SCHEMA {identifier}; CREATE TABLE {identifier}.{identifier} (n int)".replace("%", "%"))
        assert add(source, f"{identifier}.{identifier}") == [Name(name, name)]
        run(second, f"LISTEN {CHANNEL}")
        arm(source)
        run(source, f"INSERT INTO {identifier}.{identifier} VALUES (1)")
        assert json.loads(all_notified(second)[0])[2:] == [name, name]
        remove(source, Name(name, name))
        assert not run(source, "SELECT 1 FROM pg_namespace WHERE nspname = 'superset_ext_watch'")

    def test_a_name_in_other_case_is_suggested(self, source: Any) -> None:
        """Intent: whoever forgets the quotes reads how to write them."""
        run(source, 'CREATE TABLE "Big" (n int)')
        with pytest.raises(
            WatchError, match=r'there is no table public\.Big; write it as in SQL: did you mean public\."Big"\?'
        ):
            add(source, "public.Big")

    def test_what_is_no_name_is_said(self, source: Any) -> None:
        """Intent: a name that SQL cannot read is an error, and nothing is watched."""
        with pytest.raises(WatchError, match="not a valid identifier"):
            add(source, "a b")


class TestRefusals:
    @pytest.mark.parametrize(
        ("make", "name", "why"),
        [
            ("CREATE VIEW v AS SELECT * FROM sales", "v", r"public\.v is a view; watch what it reads: public\.sales"),
            ("CREATE VIEW u AS SELECT 1 AS n", "u", "public.u is a view; watch what it reads: no table"),
            (
                "CREATE TABLE other (n int); CREATE VIEW v AS SELECT * FROM sales;"
                "CREATE MATERIALIZED VIEW m AS SELECT * FROM other;"
                "CREATE VIEW w AS SELECT v.n FROM v JOIN m USING (n)",
                "w",
                r"watch what it reads: public\.other, public\.sales",
            ),
            (
                "CREATE MATERIALIZED VIEW m AS SELECT * FROM sales",
                "m",
                r"public\.m is a materialized view, which takes no triggers; probe it instead",
            ),
            (
                "CREATE FOREIGN DATA WRAPPER none; CREATE SERVER far FOREIGN DATA WRAPPER none;"
                "CREATE FOREIGN TABLE f (n int) SERVER far",
                "f",
                r"public\.f is a foreign table",
            ),
            (
                "CREATE FOREIGN DATA WRAPPER none; CREATE SERVER far FOREIGN DATA WRAPPER none;"
                "CREATE TABLE p (n int) PARTITION BY LIST (n);"
                "CREATE FOREIGN TABLE f PARTITION OF p FOR VALUES IN (1) SERVER far",
                "p",
                r"public\.p: public\.f is a foreign table",
            ),
            ("CREATE SEQUENCE s", "s", r"public\.s is no table"),
            ("CREATE TEMPORARY TABLE tt (n int)", "tt", "temporary"),
            ("SELECT 1", "pg_catalog.pg_class", "PostgreSQL's own; probe it instead"),
            ("SELECT 1", "public.nothing", r"there is no table public\.nothing; write it as schema\.table, as in SQL"),
        ],
    )
    def test_what_fires_no_triggers_is_refused(self, source: Any, make: str, name: str, why: str) -> None:
        """Intent: the line says why, and what to do instead; nothing is left behind."""
        run(source, make)
        before = run(source, _CATALOG)
        with pytest.raises(WatchError, match=why):
            add(source, name)
        assert run(source, _CATALOG) == before

    def test_a_replicated_table_is_refused(self, source: Any) -> None:
        """Intent: logical replication fires no triggers of statements, so nothing would ever be heard."""
        run(source, "CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p"
                    " WITH (connect = false, slot_name = NONE)")  # fmt: skip
        try:
            run(source, "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
                        " SELECT oid, 'sales'::regclass, 'r' FROM pg_subscription WHERE subname = 'sub'")  # fmt: skip
        except psycopg2.Error:
            pytest.skip("this server lets nobody write to its catalog")
        finally:
            pass
        try:
            with pytest.raises(WatchError, match=r"public\.sales is filled by logical replication"):
                add(source, "sales")
        finally:
            run(source, "DROP SUBSCRIPTION sub")

    def test_missing_rights_are_named(self, source: Any, role: Callable[..., Any], database_url: str) -> None:
        """Intent: one line says what an owner is to grant, and once that is done the watch can be added and removed."""
        unprivileged = role("SELECT ON sales")
        name, database = unprivileged.info.user, unprivileged.info.dbname
        with pytest.raises(
            WatchError, match=f'permission denied for database .*GRANT CREATE ON DATABASE "{database}" TO'
        ):
            add(unprivileged, "sales")
        run(source, f'GRANT CREATE ON DATABASE "{database}" TO {name}')
        with pytest.raises(WatchError, match=rf"let an owner run: GRANT TRIGGER ON public\.sales TO {name}$"):
            add(unprivileged, "sales")
        assert not run(source, "SELECT 1 FROM pg_namespace WHERE nspname = 'superset_ext_watch'")
        run(source, f"GRANT TRIGGER ON public.sales TO {name}")
        before = run(source, _CATALOG)
        assert add(unprivileged, "sales") == [SALES]
        assert state(unprivileged)[SALES].intact
        remove(unprivileged, SALES)
        assert run(source, _CATALOG) == before

    def test_a_closed_schema_is_named(self, source: Any, role: Callable[..., Any]) -> None:
        """Intent: the error is the GRANT that is missing, on the schema."""
        run(source, "CREATE SCHEMA closed; CREATE TABLE closed.t (n int)")
        unprivileged = role("TRIGGER ON closed.t")
        run(source, f'GRANT CREATE ON DATABASE "{unprivileged.info.dbname}" TO {unprivileged.info.user}')
        with pytest.raises(WatchError, match="GRANT USAGE ON SCHEMA closed TO"):
            add(unprivileged, "closed.t")

    def test_a_locked_table_is_left_alone(self, source: Any, second: Any) -> None:
        """Intent: `watch add` does not queue behind a long transaction for ever, since writers would queue behind."""
        before = run(source, _CATALOG)
        run(second, "BEGIN; UPDATE sales SET n = 3")
        with pytest.raises(WatchError, match=r"was locked all the time.*nothing was changed.*try again"):
            add(source, "sales")
        assert run(source, _CATALOG) == before
        run(second, "ROLLBACK")
        with transaction(source) as cursor:
            triggers.add(cursor, ["sales"])
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == (f"{schema.PATIENCE:.0f}s",)
        run(second, "BEGIN; UPDATE sales SET n = 3")
        with pytest.raises(WatchError, match="was locked all the time"):
            remove(source, SALES)
        assert state(source)[SALES].intact
        run(second, "ROLLBACK")

    def test_two_phase_commits_are_asked_about(self, server: Callable[..., Postgres]) -> None:
        """Intent: PREPARE TRANSACTION fails after a NOTIFY, so whoever may use it must say that nobody does."""
        with connected(server(max_prepared_transactions="5").url()) as connection:
            run(connection, "CREATE TABLE sales (n int)")
            with pytest.raises(WatchError, match=r"max_prepared_transactions = 5.*--two-phase-unused"):
                add(connection, "sales")
            assert add(connection, "sales", two_phase_unused=True) == [SALES]
            arm(connection)
            run(connection, "BEGIN; INSERT INTO sales VALUES (1)")
            with pytest.raises(psycopg2.NotSupportedError, match="NOTIFY"):
                run(connection, "PREPARE TRANSACTION 'p'")

    def test_a_replica_is_refused(self, server: Callable[..., Postgres], tmp_path: Path) -> None:
        """Intent: nobody writes on a replica, and nobody notifies there."""
        first = server()
        with connected(first.url()) as connection:
            run(connection, "CREATE TABLE sales (n int)")
            add(connection, "sales")
        first.stop()
        shutil.copytree(tmp_path / "own", tmp_path / "copy")
        shutil.copy(tmp_path / "own.password", tmp_path / "copy.password")
        if os.geteuid() == 0:
            os.chown(tmp_path / "copy", *[(tmp_path / "own").stat().st_uid] * 2)
            for path in (tmp_path / "copy").rglob("*"):
                os.chown(path, *[(tmp_path / "own").stat().st_uid] * 2)
        (tmp_path / "copy" / "standby.signal").touch()
        with (
            connected(server("copy").url()) as connection,
            pytest.raises(WatchError, match="is a replica, where nobody writes"),
        ):
            add(connection, "sales")


class TestRemove:
    def test_nothing_is_left(self, source: Any) -> None:
        """Intent: after the last watch the catalog is as it was, whatever became of the tables meanwhile."""
        run(source, "CREATE TABLE gone (n int); CREATE TABLE renamed (n int); CREATE TABLE recreated (n int);"
                    "CREATE TABLE p (n int) PARTITION BY LIST (n);"
                    "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")  # fmt: skip
        before = run(source, _CATALOG)
        names = add(source, "gone", "renamed", "recreated", "p", "sales")
        run(source, "DROP TABLE gone; ALTER TABLE renamed RENAME TO newer; DROP TABLE recreated;"
                    "CREATE TABLE recreated (n int); CREATE TABLE gone (n int); ALTER TABLE newer RENAME TO renamed;"
                    "ALTER TABLE p DETACH PARTITION p1")  # fmt: skip
        remove(source, *names[:3])
        assert set(state(source)) == set(names[3:])
        remove(source, *names)
        assert run(source, _CATALOG) == before

    def test_what_is_not_watched_is_no_error(self, source: Any) -> None:
        """Intent: removing twice, or what never was watched, leaves the others alone."""
        remove(source, SALES)
        add(source, "sales")
        remove(source, Name("public", "other"))
        assert set(state(source)) == {SALES}

    def test_a_table_that_is_gone_is_named_as_before(self, source: Any) -> None:
        """Intent: `watch remove` needs no table to be there to know which one is meant."""
        known = {SALES, Name("Other", "sales"), Name("public", "x")}
        with transaction(source) as cursor:
            assert triggers.among(cursor, known, '"Other".sales') == Name("Other", "sales")
            assert triggers.among(cursor, known, "X") == Name("public", "x")
            with pytest.raises(WatchError, match="sales is watched in several schemas; name one"):
                triggers.among(cursor, known, "sales")
            with pytest.raises(WatchError, match="y is not watched"):
                triggers.among(cursor, known, "y")

    def test_uninstall_runs_in_psql(self, source: Any, database_url: str) -> None:
        """Intent: the file alone leaves the source's catalog as it was."""
        before = run(source, _CATALOG)
        add(source, "sales")
        psql(database_url, (SQL / "watch" / "uninstall.sql").read_text())
        assert run(source, _CATALOG) == before


def psql(url: str, text: str) -> str:
    done = subprocess.run(
        [binary("psql"), url, "-X", "-q", "-A", "-t", "--single-transaction", "--set", "ON_ERROR_STOP=1"],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestByHand:
    """An administrator does what Superset's role may not."""

    def test_the_files_run_in_psql_twice(self, source: Any, database_url: str) -> None:
        """Intent: an administrator may install by psql, again too, with the same result as ours."""
        files = "".join(path.read_text() for path in schema.FILES)
        psql(database_url, files + files)
        assert psql(database_url, "SELECT superset_ext_watch.add('public.sales')").strip() == "1"
        assert state(source)[SALES].intact
        before = run(source, _CATALOG)
        add(source, "sales")
        assert run(source, _CATALOG) == before
        assert psql(database_url, "SELECT superset_ext_watch.remove('public', 'sales')").strip() == "t"

    def test_a_role_that_may_only_listen(self, source: Any, role: Callable[..., Any]) -> None:
        """Intent: after `allow`, a role that may only read can do all that a listener does, and add what is there."""
        add(source, "sales")
        reader = role("SELECT ON sales")
        with pytest.raises(WatchError, match=r"permission denied for schema superset_ext_watch; .*allow\('\"r_"):
            state(reader)
        run(source, "SELECT superset_ext_watch.allow(%s::regrole)", reader.info.user)
        assert state(reader)[SALES].intact
        assert add(reader, "sales") == [SALES]
        with transaction(reader) as cursor:
            epochs.arm(cursor, [1])
            ((epoch,),) = run(source, "SELECT last_value FROM superset_ext_watch.epoch_1")
            epochs.mute(cursor, {1: epoch})
            epochs.writers(cursor, [1])
        assert run(source, "SELECT last_value FROM superset_ext_watch.epoch_1") == [(epoch + 1,)]
        assert state(source)[SALES].notified_at is not None
        run(source, f"CREATE TABLE other (n int); GRANT TRIGGER ON other TO {reader.info.user}")
        with pytest.raises(WatchError, match="permission denied for table watched"):
            add(reader, "other")
        with pytest.raises(WatchError, match="permission denied for table watched"):
            remove(reader, SALES)


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

    def test_a_full_queue_breaks_no_writer(self, server: Callable[..., Postgres]) -> None:
        """Intent: PostgreSQL fails the commit of whoever notifies into a full queue; ours do not notify then."""
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


class TestParts:
    @pytest.fixture
    def tree(self, source: Any) -> Any:
        """A partitioned table with sub-partitions, and a table with children, one of which has another parent too."""
        run(source, "CREATE TABLE p (n int, k int) PARTITION BY LIST (n);"
                    "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
                    "CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (k);"
                    "CREATE TABLE p21 PARTITION OF p2 FOR VALUES IN (1);"
                    "CREATE TABLE a (n int); CREATE TABLE b (n int);"
                    "CREATE TABLE c () INHERITS (a); CREATE TABLE d () INHERITS (a, b)")  # fmt: skip
        return source

    @pytest.mark.parametrize(
        ("watched", "statement"),
        [
            ("p", "INSERT INTO p VALUES (1)"),
            ("p", "INSERT INTO p1 VALUES (1)"),
            ("p", "INSERT INTO p2 VALUES (2, 1)"),
            ("p", "INSERT INTO p21 VALUES (2, 1)"),
            ("p", "TRUNCATE p21"),
            ("p1", "INSERT INTO p VALUES (1)"),
            ("p21", "INSERT INTO p2 VALUES (2, 1)"),
            ("p21", "DELETE FROM p"),
            ("a", "INSERT INTO c VALUES (1)"),
            ("a", "UPDATE b SET n = 2"),
            ("d", "UPDATE b SET n = 2"),
            ("c", "UPDATE a SET n = 2"),
        ],
    )
    def test_a_write_to_any_part_or_whole_is_heard(self, tree: Any, second: Any, watched: str, statement: str) -> None:
        """Intent: only the table that a statement names fires its triggers, so all that may be named have them."""
        add(tree, watched)
        run(second, f"LISTEN {CHANNEL}")
        arm(tree)
        run(tree, statement)
        (said,) = all_notified(second)
        assert f'"public", "{watched}"' in said

    def test_a_part_says_what_it_is_part_of(self, tree: Any) -> None:
        """Intent: what changes a part changes the whole, and charts read that."""
        add(tree, "p21", "p")
        assert state(tree)[Name("public", "p21")].part_of == (Name("public", "p"), Name("public", "p2"))
        assert state(tree)[Name("public", "p")].part_of == ()

    def test_a_new_part_is_missing(self, tree: Any) -> None:
        """Intent: a part that came later is seen, and adding again covers it."""
        add(tree, "p")
        shape = state(tree)[Name("public", "p")].shape
        run(tree, "CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3)")
        found = state(tree)[Name("public", "p")]
        assert found.missing == 1 and found.shape != shape
        add(tree, "p")
        assert state(tree)[Name("public", "p")].intact

    def test_rights_on_all_parts_are_asked_for_at_once(self, tree: Any, role: Callable[..., Any]) -> None:
        """Intent: the error is one GRANT for the table and all its parts, not one part after the other."""
        unprivileged = role("TRIGGER ON p1")
        run(tree, f'GRANT CREATE ON DATABASE "{unprivileged.info.dbname}" TO {unprivileged.info.user}')
        with pytest.raises(WatchError, match=r"GRANT TRIGGER ON public\.p, public\.p2, public\.p21 TO r_"):
            add(unprivileged, "p")


@pytest.mark.parametrize(
    "ddl",
    [
        "ALTER TABLE sales ADD COLUMN x int",
        "ALTER TABLE sales ALTER COLUMN n TYPE bigint",
        "ALTER TABLE sales DISABLE TRIGGER ALL; ALTER TABLE sales ENABLE TRIGGER ALL",
        "DROP TABLE sales; CREATE TABLE sales (n int)",
        "CREATE TABLE newer (n int); ALTER TABLE sales RENAME TO older; ALTER TABLE newer RENAME TO sales",
    ],
)
def test_ddl_changes_the_shape_and_nothing_else_does(source: Any, ddl: str) -> None:
    """Intent: what fires no trigger is seen in the catalog; writes and vacuuming are not taken for it."""
    add(source, "sales")
    before = state(source)[SALES].shape
    run(source, "UPDATE sales SET n = 3; INSERT INTO sales SELECT g, g FROM generate_series(100, 5000) g")
    run(source, "VACUUM ANALYZE sales")
    run(source, "CREATE INDEX ON sales (n)")
    assert state(source)[SALES].shape == before
    run(source, ddl)
    assert state(source)[SALES].shape != before


class TestCommand:
    """`superset perf watch` and `listen`, as an administrator types them."""

    @pytest.fixture
    def table(self, superset_stack: RunningStack) -> Iterator[str]:
        """A table of the examples' database."""
        name = f"watched_{uuid.uuid4().hex[:8]}"
        with connected(superset_stack.examples_url) as connection:
            run(connection, f"CREATE TABLE {name} (gender text, num int); INSERT INTO {name} VALUES ('girl', 1)")
            yield name
            perf(superset_stack, "watch", "remove", "examples", "--all")
            run(connection, f"DROP TABLE IF EXISTS {name}")

    def test_add_list_and_remove(self, superset_stack: RunningStack, table: str) -> None:
        """Intent: what is added is listed, whole, and after its removal nothing is left on the source."""
        with connected(superset_stack.examples_url) as source:
            before = run(source, _CATALOG)
            done = perf(superset_stack, "watch", "add", "examples", table, "--json")
            number = said(done)["database_id"]
            assert said(done) == {"database_id": number, "watched": [f"public.{table}"]}, done.stderr
            (row,) = said(perf(superset_stack, "watch", "list", "--json"))
            found = (row["database"], row["table"], row["intact"], row["problem"])
            assert found == ("examples", f"public.{table}", True, None)
            assert row["added_at"] and row["notified_at"] is None
            shown = perf(superset_stack, "watch", "list")
            assert f"public.{table}" in shown.stdout and "complete" in shown.stdout
            done = perf(superset_stack, "watch", "remove", str(number), f"public.{table}")
            assert done.stdout.strip().endswith(f"Not watched any more: public.{table}.")
            assert run(source, _CATALOG) == before
        assert "Nothing is watched; begin with: superset perf watch add" in perf(superset_stack, "watch", "list").stdout

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["add", "nowhere", "t"], r"Error: Superset has no database 'nowhere'; it has: .*examples"),
            (["add", "examples", "public.nothing"], r"Error: there is no table public\.nothing; write it as"),
            (["remove", "examples", "public.nothing"], r"Error: public\.nothing is not watched; see: superset perf"),
            (["remove", "examples"], r"Error: name tables, or give --all"),
        ],
    )
    def test_an_error_is_one_line(self, superset_stack: RunningStack, arguments: list[str], line: str) -> None:
        """Intent: a wrong name ends the command with one line, and with what to write instead."""
        done = perf(superset_stack, "watch", *arguments)
        assert done.returncode != 0
        assert re.search(line, done.stderr.strip().splitlines()[-1])

    @pytest.mark.thorough
    def test_other_databases_are_refused(self, superset_stack: RunningStack) -> None:
        """Intent: only PostgreSQL notifies; one that cannot be reached says so, and is listed with its reason."""
        with connected(superset_stack.database_url) as metadata:
            uris = {"a_lake": "trino://u@localhost/x", "away": "postgresql://u:secret@127.0.0.1:1/x"}
            for name, uri in uris.items():
                run(metadata, "INSERT INTO public.dbs (database_name, sqlalchemy_uri) VALUES (%s, %s)", name, uri)
            try:
                done = perf(superset_stack, "watch", "add", "a_lake", "t")
                assert "'a_lake' is trino, and only PostgreSQL can be watched; probe it instead" in done.stderr
                done = perf(superset_stack, "watch", "add", "away", "t")
                assert "Error: the database 'away' cannot be connected to:" in done.stderr
                assert "secret" not in done.stderr and done.returncode == 1
                ((away,),) = run(metadata, "SELECT id FROM public.dbs WHERE database_name = 'away'")
                run(metadata, "INSERT INTO superset_ext.cache_watch VALUES (%s, 'public', 't')", away)
                (row,) = said(perf(superset_stack, "watch", "list", "--json"))
                assert row["intact"] is False and "cannot be connected to" in row["problem"]
            finally:
                run(metadata, "DELETE FROM public.dbs WHERE database_name = ANY(%s)", list(uris))
            done = perf(superset_stack, "watch", "remove", str(away), "--all")
            assert done.stdout.strip().endswith("Not watched any more: public.t."), done.stderr
            assert f"Superset has no database {away} any more" in done.stderr
            assert run(metadata, "SELECT 1 FROM superset_ext.cache_watch") == []

    def test_nobody_listens(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Intent: whoever looks at a list of watches is told that they tell nobody."""
        row = {"database": "d", "table": "t", "added_at": None, "notified_at": None, "problem": None}
        for listeners in (0, 1, None):
            print_watches([{**row, "listeners": listeners}])
            warning = capsys.readouterr().err
            assert warning == ("Nobody listens; start: superset perf listen\n" if listeners == 0 else "")

    @pytest.mark.thorough
    def test_a_chart_follows_its_table(self, superset_stack: RunningStack, table: str, tmp_path: Path) -> None:
        """Intent: the whole way: a commit on the source, and the next request of a cached chart has the new rows."""
        client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
        body = {"database": database_id(client), "schema": "public", "table_name": table}
        dataset = int(client.post("/api/v1/dataset/", json=body).json()["id"])

        def rows() -> tuple[int, bool]:
            answer = client.post("/api/v1/chart/data", json=_counting(dataset)).json()["result"][0]
            return answer["data"][0]["total"], bool(answer["is_cached"])

        perf(superset_stack, "watch", "add", "examples", table)
        command = [program("superset"), "perf", "listen"]
        with process(command, superset_stack.env, tmp_path / "log") as listener:
            with connected(superset_stack.examples_url) as source:
                until(lambda: run(source, _LISTENS, LISTENER))
                until(lambda: rows() == (1, True))
                run(source, f"UPDATE {table} SET num = 5")
                began = time.monotonic()
                until(lambda: rows()[0] == 5)
                print(f"the chart followed within {time.monotonic() - began:.3f} s")
                until(lambda: rows() == (5, True))
            shown = said(perf(superset_stack, "watch", "list", "--json"))
            assert shown[0]["listeners"] == 2 and shown[0]["notified_at"]
            listener.terminate()
            assert listener.wait(PATIENCE) == 0, (tmp_path / "log").read_text()[-2000:]
        client.http.delete(f"{client.base}/api/v1/dataset/{dataset}")


_LISTENS = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"


def said(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that was printed, after what Superset says on its own."""
    found = re.search(r"^[{\[]$|^[{\[].*[}\]]$", done.stdout, re.MULTILINE)
    assert found, done.stderr
    return json.loads(done.stdout[found.start() :])


def _counting(dataset: int) -> dict[str, Any]:
    body = Chart(dataset).body()
    metric = {"expressionType": "SQL", "sqlExpression": "SUM(num)", "label": "total"}
    body["queries"] = [{"columns": [], "metrics": [metric], "filters": [], "row_limit": 1}]
    return body
