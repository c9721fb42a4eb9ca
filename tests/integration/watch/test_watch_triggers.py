"""Triggers on a source: added, refused, removed, by command and by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from superset_ext.core.log_database import SQL
from superset_ext.embedded.postgres import Postgres, binary
from superset_ext.errors import WatchError
from superset_ext.freshness.watch import epochs, schema, triggers
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.watched import CHANNEL, Name, quoted
from testing.watches import CATALOG, SALES, add, all_notified, arm, connected, remove, run, state


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
        watched = state(source)[SALES]
        assert watched.intact and watched.missing == 0 and watched.notified_at is None and watched.part_of == ()
        run(source, "ALTER TABLE sales DISABLE TRIGGER ALL")
        assert not state(source)[SALES].intact

    def test_twice_is_once(self, source: Any) -> None:
        """Intent: whoever adds again gets the same watch, and no second trigger."""
        add(source, "sales")
        before, rows = run(source, CATALOG), state(source)
        assert add(source, "public.sales", "sales") == [SALES, SALES]
        assert (run(source, CATALOG), state(source)) == (before, rows)

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
        before = run(source, CATALOG)
        with pytest.raises(WatchError, match=r"there is no table public\.nothing"):
            add(source, "sales", "public.nothing")
        assert run(source, CATALOG) == before

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
        before = run(source, CATALOG)
        with pytest.raises(WatchError, match=why):
            add(source, name)
        assert run(source, CATALOG) == before

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
        run(source, "CREATE TABLE second (n int); CREATE SCHEMA closed; CREATE TABLE closed.third (n int)")
        tables = ("sales", "second", "closed.third")
        with pytest.raises(WatchError, match="let an owner run: ") as raised:
            add(unprivileged, *tables)
        statements = str(raised.value).partition("let an owner run: ")[2]
        assert statements == (
            f"GRANT CREATE ON DATABASE {database} TO {name}; GRANT USAGE ON SCHEMA closed TO {name};"
            f" GRANT TRIGGER ON public.sales, public.second, closed.third TO {name}"
        )
        assert not run(source, "SELECT 1 FROM pg_namespace WHERE nspname = 'superset_ext_watch'")
        run(source, statements)
        before = run(source, CATALOG)
        assert add(unprivileged, *tables)[0] == SALES
        remove(unprivileged, SALES, *add(unprivileged, "second", "closed.third"))
        assert add(unprivileged, "sales") == [SALES]
        assert state(unprivileged)[SALES].intact
        remove(unprivileged, SALES)
        assert run(source, CATALOG) == before

    def test_rights_that_are_missing_later_are_named_together(self, source: Any, role: Callable[..., Any]) -> None:
        """Intent: as with the first watches, all at once, and nothing is made before; a table that an owner has added
        needs no right of this role."""
        unprivileged = role(f"CREATE ON DATABASE {source.info.dbname}", "TRIGGER ON sales")
        run(source, "CREATE TABLE second (n int); CREATE TABLE third (n int); CREATE SCHEMA closed")
        run(source, "CREATE TABLE closed.fourth (n int)")
        add(unprivileged, "sales")
        before = run(source, CATALOG)
        with pytest.raises(WatchError, match="let an owner run: ") as raised:
            add(unprivileged, "sales", "second", "third", "closed.fourth")
        statements = str(raised.value).partition("let an owner run: ")[2]
        name = unprivileged.info.user
        assert statements == (
            f"GRANT USAGE ON SCHEMA closed TO {name};"
            f" GRANT TRIGGER ON public.second, public.third, closed.fourth TO {name}"
        )
        assert run(source, CATALOG) == before
        run(source, statements)
        assert len(add(unprivileged, "sales", "second", "third", "closed.fourth")) == 4

    def test_a_closed_schema_is_named(self, source: Any, role: Callable[..., Any]) -> None:
        """Intent: the error is the GRANT that is missing, on the schema."""
        run(source, "CREATE SCHEMA closed; CREATE TABLE closed.t (n int)")
        unprivileged = role("TRIGGER ON closed.t")
        run(source, f'GRANT CREATE ON DATABASE "{unprivileged.info.dbname}" TO {unprivileged.info.user}')
        with pytest.raises(WatchError, match="GRANT USAGE ON SCHEMA closed TO"):
            add(unprivileged, "closed.t")

    def test_a_locked_table_is_left_alone(self, source: Any, second: Any) -> None:
        """Intent: `watch add` does not queue behind a long transaction for ever, since writers would queue behind."""
        before = run(source, CATALOG)
        run(second, "BEGIN; UPDATE sales SET n = 3")
        with pytest.raises(WatchError, match=r"was locked all the time.*nothing was changed.*try again"):
            add(source, "sales")
        assert run(source, CATALOG) == before
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
        before = run(source, CATALOG)
        names = add(source, "gone", "renamed", "recreated", "p", "sales")
        run(source, "DROP TABLE gone; ALTER TABLE renamed RENAME TO newer; DROP TABLE recreated;"
                    "CREATE TABLE recreated (n int); CREATE TABLE gone (n int); ALTER TABLE newer RENAME TO renamed;"
                    "ALTER TABLE p DETACH PARTITION p1")  # fmt: skip
        remove(source, *names[:3])
        assert set(state(source)) == set(names[3:])
        remove(source, *names)
        assert run(source, CATALOG) == before

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
        before = run(source, CATALOG)
        add(source, "sales")
        psql(database_url, (SQL / "watch" / "uninstall.sql").read_text())
        assert run(source, CATALOG) == before


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
        before = run(source, CATALOG)
        add(source, "sales")
        assert run(source, CATALOG) == before
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
        run(source, "CREATE TABLE third (n int)")  # a right on it would not help
        with pytest.raises(WatchError, match="permission denied for table watched"):
            add(reader, "third")
        with pytest.raises(WatchError, match="permission denied for table watched"):
            remove(reader, SALES)


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
        (payload,) = all_notified(second)
        assert f'"public", "{watched}"' in payload

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
        watched = state(tree)[Name("public", "p")]
        assert watched.missing == 1 and watched.shape != shape
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
