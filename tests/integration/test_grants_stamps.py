"""What the metadata database tells of its changes, and when it cannot: then nothing is granted.

A mark must end with every write that could decide something, however it is written; and nobody waits for a server that
is silent.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from sqlalchemy import create_engine

from superset_ext.doctor import grants as doctor
from superset_ext.embedded.postgres import Postgres
from superset_ext.grants import metadata_stamps
from superset_ext.grants.install import EXTENSION
from superset_ext.grants.metadata_stamps import MetadataStamps
from superset_ext.grants.tables import IDLE, watched_tables
from superset_ext.package import Package
from superset_ext.settings import load
from testing.databases import Databases, postgres_in
from testing.in_process import InProcess
from testing.versions import need
from testing.warming import until

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("patient_grants")]
TABLES = """
CREATE TABLE ab_user (id int PRIMARY KEY, username text, active boolean, last_login timestamp, login_count int,
    fail_login_count int, changed_on timestamp, changed_by_fk int);
CREATE TABLE dashboards (id int PRIMARY KEY, dashboard_title text, css text, json_metadata text, changed_on timestamp,
    changed_by_fk int);
CREATE TABLE ab_user_role (id int PRIMARY KEY, user_id int REFERENCES ab_user ON DELETE CASCADE, role_id int);
INSERT INTO ab_user (id, username, active) VALUES (1, 'ada', true);
INSERT INTO ab_user_role VALUES (1, 1, 1);
"""
NAMES = ("ab_user", "ab_user_role", "dashboards", "slices")  # the last one is not there
Run = Callable[[str], Any]
Make = Callable[..., MetadataStamps]


def fill(url: str) -> None:
    """Two tables of Superset's, with their triggers."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
    engine = create_engine(url)
    stamps = MetadataStamps(lambda: engine, lambda: list(NAMES))
    stamps.install()
    stamps._connections().dispose()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A copy of such a database."""
    with databases.copy("grants", fill) as url:
        yield url


@pytest.fixture
def run(database_url: str) -> Iterator[Run]:
    """Run SQL on the metadata database as another tool does; its first value."""
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True

        def once(sql: str) -> Any:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                row = cursor.fetchone() if cursor.description else None
                return row[0] if row else None

        yield once


@pytest.fixture
def make(database_url: str) -> Iterator[Make]:
    """Stamps of an engine of their own."""
    engines = []

    def made(url: str = database_url, names: tuple[str, ...] = NAMES, **connect: Any) -> MetadataStamps:
        engine = create_engine(url, connect_args=connect)
        engines.append(engine)
        return MetadataStamps(lambda: engine, lambda: list(names))

    yield made
    for engine in engines:
        engine.dispose()


@pytest.fixture
def stamps(run: Run, make: Make) -> MetadataStamps:
    """Stamps of it."""
    del run
    made = make()
    assert made.look(), made.missing
    return made


def ready(stamps: MetadataStamps) -> MetadataStamps:
    stamps.install()
    assert stamps.look(), stamps.missing
    return stamps


def marked(stamps: MetadataStamps) -> tuple[str, str]:
    mark = stamps.now()
    assert mark is not None and stamps.holds(mark)
    return mark


WRITES = {
    "insert": "INSERT INTO ab_user_role VALUES (2, 1, 7)",
    "update": "UPDATE ab_user_role SET role_id = 3",
    "delete": "DELETE FROM ab_user_role",
    "truncate": "TRUNCATE ab_user_role",
    "merge": "MERGE INTO ab_user_role r USING ab_user u ON r.user_id = u.id WHEN MATCHED THEN DELETE",
    "cte": "WITH gone AS (DELETE FROM ab_user_role RETURNING id) SELECT count(*) FROM gone",
    "copy": "COPY ab_user_role FROM PROGRAM 'echo 5,1,1' (FORMAT csv)",
    "cascade": "DELETE FROM ab_user",
    "through a view": "CREATE VIEW v AS SELECT * FROM ab_user_role; UPDATE v SET role_id = 9",
    "deactivated": "UPDATE ab_user SET active = false",
    "with a login": "UPDATE ab_user SET login_count = 7, active = false",
    "as a replica": "SET session_replication_role = replica; UPDATE ab_user SET active = false",
    "trigger off": "ALTER TABLE ab_user_role DISABLE TRIGGER ALL",
    "off and on": "BEGIN; ALTER TABLE ab_user_role DISABLE TRIGGER superset_ext_grants; DELETE FROM ab_user_role;"
    " ALTER TABLE ab_user_role ENABLE ALWAYS TRIGGER superset_ext_grants; COMMIT",
    "dropped and made": "BEGIN; DROP TRIGGER superset_ext_grants ON ab_user_role; DELETE FROM ab_user_role; COMMIT",
    "by another type": "ALTER TABLE ab_user ALTER active TYPE boolean USING false",
    "another table": "ALTER TABLE ab_user_role RENAME TO old; CREATE TABLE ab_user_role (LIKE old)",
    "another schema": "CREATE SCHEMA elsewhere; ALTER TABLE ab_user_role SET SCHEMA elsewhere",
    "a child": "CREATE TABLE child () INHERITS (ab_user_role)",
    "hidden rows": "ALTER TABLE ab_user_role ENABLE ROW LEVEL SECURITY",
    "a right of SQL": "REVOKE SELECT ON ab_user_role FROM CURRENT_USER",
    "in a function": "DO $$ BEGIN DELETE FROM ab_user_role; EXCEPTION WHEN OTHERS THEN NULL; END $$",
    "schema dropped": "DROP SCHEMA superset_ext_grants CASCADE",
    "our table dropped": "DROP TABLE superset_ext_grants.change; UPDATE ab_user SET active = false",
    "our table emptied": "UPDATE ab_user SET active = false; TRUNCATE superset_ext_grants.change",
}


@pytest.mark.parametrize("how", WRITES)
def test_a_mark_ends_with_every_write(how: str, run: Run, stamps: MetadataStamps, database_url: str) -> None:
    """Intent: whatever SQL or DDL changes a row that decides, hides it, or switches off what would have told."""
    if how == "merge":
        with closing(psycopg2.connect(database_url)) as connection:
            need(connection, 15, "MERGE")
    mark = marked(stamps)
    run(WRITES[how])
    assert not stamps.holds(mark)


def held(run: Run, mark: tuple[str, str], last: str | None) -> Any:
    """What the function says of a mark, to somebody for whom it held at the moment `last`."""
    moment = "NULL" if last is None else f"'{last}'"
    return run(f"SELECT superset_ext_grants.held_still('{mark[0]}', '{mark[1]}', NULL, {moment})")


def test_what_held_at_the_same_moment_is_not_looked_at_again(run: Run, stamps: MetadataStamps) -> None:
    """Intent: between two hits nothing was committed, so that the second one need not read the catalog."""
    mark = marked(stamps)
    moment = held(run, mark, None)
    assert moment and held(run, mark, moment) == moment
    assert held(run, (mark[0], "of other triggers"), None) is None
    assert held(run, (mark[0], "of other triggers"), moment) == moment  # so it was not looked at
    assert stamps._held.moment == moment and (*mark, None) in stamps._held
    run("INSERT INTO ab_user_role VALUES (2, 1, 7)")
    assert held(run, mark, moment) is None


def test_a_moment_is_another_one_once_anything_was_committed(run: Run, stamps: MetadataStamps) -> None:
    """Intent: whatever has ended since, a commit or a rollback, the next check looks at what was written, and at the
    triggers."""
    mark = marked(stamps)
    moment = held(run, mark, None)
    run("CREATE TABLE elsewhere (id int)")
    later = held(run, mark, moment)
    assert later and later != moment
    run("BEGIN; DELETE FROM ab_user_role; ROLLBACK")
    assert held(run, mark, later) not in (None, later)
    assert held(run, (mark[0], "of other triggers"), later) is None


def test_a_moment_of_another_run_of_the_server_is_none(run: Run, stamps: MetadataStamps) -> None:
    """Intent: transaction ids of another run say nothing of this one."""
    mark = marked(stamps)
    snapshot, started, number, place = str(held(run, mark, None)).split(" ")
    assert held(run, mark, f"{snapshot} {started} {number} {place}")
    assert held(run, mark, f"{snapshot} {float(started) - 1} {number} {place}") is None
    assert held(run, mark, f"{snapshot} {started} {number[::-1]} {place}") is None
    assert held(run, mark, f"{snapshot} {started} {number} {place[::-1]}") is None  # a copy of the database


def test_what_did_not_hold_is_not_remembered(run: Run, stamps: MetadataStamps) -> None:
    """Intent: two grants are asked about at the same moment, of which one has ended."""
    before = marked(stamps)
    run("INSERT INTO ab_user_role VALUES (2, 1, 7)")
    after = marked(stamps)
    assert [stamps.holds(mark) for mark in (before, after, before, after)] == [False, True, False, True]


IDLE_WRITES = {
    "a login": "UPDATE ab_user SET last_login = now(), login_count = 8, fail_login_count = 0, changed_on = now()",
    "nothing": "UPDATE ab_user SET active = active",
    "rolled back": "BEGIN; DELETE FROM ab_user_role; ROLLBACK",
    "vacuum": "VACUUM ab_user_role",
    "analysed": "ANALYZE",
    "another table": "CREATE TABLE else_where (id int); INSERT INTO else_where VALUES (1)",
}


@pytest.mark.parametrize("how", IDLE_WRITES)
def test_a_mark_outlives_what_decides_nothing(how: str, run: Run, stamps: MetadataStamps) -> None:
    """Intent: people log in all the time, and servers clean up by themselves."""
    mark = marked(stamps)
    run(IDLE_WRITES[how])
    assert stamps.holds(mark)


UNTOLD = {
    "partitions": "ALTER TABLE ab_user_role RENAME TO old; CREATE TABLE ab_user_role (id int, user_id int, role_id int)"
    " PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF ab_user_role DEFAULT",
    "a view": "ALTER TABLE ab_user_role RENAME TO old; CREATE VIEW ab_user_role AS SELECT * FROM old",
    "children": "CREATE TABLE child () INHERITS (ab_user_role)",
    "policies": "ALTER TABLE ab_user_role ENABLE ROW LEVEL SECURITY",
    "a trigger off": "ALTER TABLE ab_user_role DISABLE TRIGGER superset_ext_grants",
    "an ordinary trigger": "ALTER TABLE ab_user_role ENABLE TRIGGER superset_ext_grants",
    "one of two": "DROP TRIGGER superset_ext_grants_update ON ab_user",
}


@pytest.mark.parametrize("how", UNTOLD)
def test_tables_that_do_not_tell_of_every_write_are_not_relied_on(how: str, run: Run, make: Make) -> None:
    """Intent: rows of partitions and children are written past the parent's triggers; nothing is granted then."""
    run(UNTOLD[how])
    stamps = make()
    assert not stamps.look()
    assert "ab_user" in stamps.missing
    assert stamps.now() is None


@pytest.mark.parametrize("path", ["empty, public", "public, empty"])
def test_the_tables_are_those_that_superset_reads(path: str, run: Run, make: Make) -> None:
    """Intent: PostgreSQL finds tables by the connection's search path, whose first schema need not have them."""
    run("CREATE SCHEMA empty")
    stamps = ready(make(options=f"-csearch_path={path.replace(' ', '')}"))
    mark = marked(stamps)
    run("DELETE FROM public.ab_user_role")
    assert not stamps.holds(mark)


def test_tables_of_another_schema_are_no_reason_to_grant(run: Run, stamps: MetadataStamps, make: Make) -> None:
    """Intent: two Supersets in one database; the triggers of one say nothing of the other's tables."""
    del stamps
    run("CREATE SCHEMA other; SET search_path = other; " + TABLES)
    second = make(options="-csearch_path=other")
    assert not second.look() and "ab_user" in second.missing
    ready(second)
    mark = marked(second)
    run("UPDATE other.ab_user SET active = false")
    assert not second.holds(mark)


def test_without_superset_s_tables_nothing_is_granted(run: Run, make: Make) -> None:
    """Intent: a search path without any of them has no table that does not tell."""
    run("CREATE SCHEMA empty")
    stamps = make(options="-csearch_path=empty")
    assert not stamps.look()
    assert stamps.missing == "Superset's tables are not there"


def test_a_look_makes_nothing(run: Run, make: Make) -> None:
    """Intent: what runs on somebody's database is for `superset perf upgrade`, and not for each web process."""
    stamps = make()
    assert stamps.uninstall()
    assert not stamps.look()
    assert "superset perf upgrade" in stamps.missing
    assert stamps.now() is None
    assert run("SELECT to_regnamespace('superset_ext_grants')") is None


INCOMPLETE = {
    "an older version": "COMMENT ON SCHEMA superset_ext_grants IS 'superset_ext: what rights and answers depend on, "
    "version 3'",
    "a later version": "COMMENT ON SCHEMA superset_ext_grants IS 'version 41'",
    "no version": "COMMENT ON SCHEMA superset_ext_grants IS NULL",
    "an older function": "DROP FUNCTION superset_ext_grants.holds; CREATE FUNCTION superset_ext_grants.holds(text) "
    "RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "no function of triggers": "DROP FUNCTION superset_ext_grants.user_changed CASCADE",
    "no table of changes": "DROP TABLE superset_ext_grants.change",
    "no table of horizons": "DROP TABLE superset_ext_grants.horizon",
    "no table of runs": "DROP TABLE superset_ext_grants.run",
    "no trigger": "DROP TRIGGER superset_ext_grants ON ab_user_role",
    "nothing": "DROP SCHEMA superset_ext_grants CASCADE",
}


@pytest.mark.parametrize("how", INCOMPLETE)
def test_what_is_older_or_incomplete_is_not_relied_on_and_fails_no_write(how: str, run: Run, make: Make) -> None:
    """Intent: a release that nobody has followed with `superset perf upgrade`, and what somebody has removed: people
    write as ever, nothing is granted, the reason names the fix, which works; what was granted before stays ended."""
    mark = marked(ready(make()))
    run(INCOMPLETE[how])
    run("UPDATE ab_user SET active = NOT active; UPDATE ab_user_role SET role_id = role_id + 1")
    stamps = make()
    assert not stamps.look()
    assert "superset perf upgrade" in stamps.missing
    assert stamps.now() is None
    ready(stamps)
    assert not stamps.holds(mark)
    marked(stamps)


COLORED = '{"shared_label_colors": ["a"], "map_label_colors": {"a": "#fff"}, "x": [1, {"label_colors": 2}]}'
# What is written to the dashboard 1: whether its colors alone were changed, or its contents, or anything.
OF_DASHBOARDS = {
    "its colors": ("json_metadata = jsonb_set(json_metadata::jsonb, '{shared_label_colors}', '[]')", "colors"),
    "its scheme": ('json_metadata = (json_metadata::jsonb || \'{"color_scheme": "x"}\')', "colors"),
    "no colors": ("json_metadata = (json_metadata::jsonb - 'map_label_colors')", "colors"),
    "another order": ("json_metadata = json_metadata::jsonb::text, changed_on = now(), changed_by_fk = 1", "colors"),
    "who and when": ("changed_on = now(), changed_by_fk = 7", "colors"),
    "colors within": ("json_metadata = jsonb_set(json_metadata::jsonb, '{x,1,label_colors}', '3')", "contents"),
    "another part": ("json_metadata = (json_metadata::jsonb || '{\"y\": 1}')", "contents"),
    "colors and style": ("json_metadata = '{\"x\": [1, {\"label_colors\": 2}]}', css = 'b {}'", "contents"),
    "no metadata": ("json_metadata = NULL", "contents"),
    "a list": ("json_metadata = '[]'", "contents"),
    "no JSON": ("json_metadata = '{\"x\"'", "contents"),
    "a zero byte": ('json_metadata = \'{"x": "\\u0000"}\'', "contents"),
    "too deep": ("json_metadata = repeat('[', 300000)", "contents"),
    "style": ("css = 'c {}'", "contents"),
    "title": ("dashboard_title = 'b'", "all"),
    "title and colors": ("dashboard_title = 'b', json_metadata = '{}'", "all"),
    "number": ("id = 3", "all"),
}


@pytest.mark.parametrize("what", OF_DASHBOARDS)
def test_whom_a_write_to_a_dashboard_concerns(what: str, run: Run, stamps: MetadataStamps) -> None:
    """Intent: colors, which a browser writes when an owner opens it, concern who shows them; other contents concern who
    has read it, and the rest concerns all. No text makes the write fail."""
    run(f"INSERT INTO dashboards VALUES (1, 'a', 'a {{}}', '{COLORED}'), (2, 'o', NULL, '{{}}')")
    mark, (values, concerned) = marked(stamps), OF_DASHBOARDS[what]
    run(f"UPDATE dashboards SET {values} WHERE id = 1")
    held = [stamps.holds(mark, boards) for boards in ((2, -2), (), (1,), (1, -1), None)]
    ends = {"colors": 3, "contents": 2, "all": 0}[concerned]
    assert held == [True] * ends + [False] * (5 - ends)


def test_another_process_s_triggers_are_seen(run: Run, make: Make) -> None:
    """Intent: upgraded while web runs: it is granted soon, without a restart."""
    web = make()
    make().uninstall()
    assert not web.look()
    ready(make())
    assert web.look() and web.now() is not None
    run("DROP TRIGGER superset_ext_grants ON ab_user_role")
    assert web.now() is None
    assert not web.ready()


def seen(mark: tuple[str, str]) -> int:
    """The transaction before which a mark has seen all."""
    return int(mark[0].split(":")[0])


def test_rows_that_no_grant_needs_are_deleted(run: Run, stamps: MetadataStamps) -> None:
    """Intent: the table of changes does not grow for ever, and what a grant of an hour needs is left, also where the
    server's clock is put forward by hours, as if they had passed: an hour of tidying has to follow."""
    run("UPDATE ab_user SET active = false")
    stamps.tidy()
    run("UPDATE superset_ext_grants.horizon SET at = at - interval '4 hours'")
    mark = marked(stamps)
    run("UPDATE ab_user SET active = true")
    run("SELECT superset_ext_grants.tidy()")
    assert not stamps.holds(mark) and run("SELECT min(xid::text::int) FROM superset_ext_grants.change") < seen(mark)
    minutes = f"SELECT now() - (180 + n) * interval '1 minute', '{seen(mark)}' FROM generate_series(1, 60) n"
    run(f"INSERT INTO superset_ext_grants.horizon {minutes}")
    run("SELECT superset_ext_grants.tidy()")
    assert run("SELECT count(*) FROM superset_ext_grants.change") == 1
    assert not stamps.holds(mark)


def test_writers_do_not_wait_for_each_other(database_url: str, run: Run, stamps: MetadataStamps) -> None:
    """Intent: two open transactions write watched tables at once; a counter would make one wait for the other."""
    del stamps
    with closing(psycopg2.connect(database_url)) as other, other, other.cursor() as cursor:
        cursor.execute("INSERT INTO ab_user (id) VALUES (5)")
        run("SET lock_timeout = '1ms'; INSERT INTO ab_user (id) VALUES (6)")


def test_a_role_without_rights_changes_nothing_of_it(run: Run, stamps: MetadataStamps, database_url: str) -> None:
    """Intent: any role of the database may ask and clean up, and none can make a change unseen."""
    mark = marked(stamps)
    run("DROP ROLE IF EXISTS grants_nobody; CREATE ROLE grants_nobody")
    run("UPDATE ab_user SET active = false")
    try:
        run("SET ROLE grants_nobody")
        run("SELECT superset_ext_grants.tidy()")
        run("SELECT superset_ext_grants.begin_run()")
        for statement in ("DELETE FROM superset_ext_grants.change", "DROP TABLE superset_ext_grants.run"):
            with pytest.raises(psycopg2.Error):
                run(statement)
    finally:
        run("RESET ROLE")
        run("DROP ROLE grants_nobody")
    assert not stamps.holds(mark)


def test_every_table_is_watched_or_named_with_a_reason(superset_app: InProcess, databases: Databases) -> None:
    """Intent: a table that a later Superset adds is watched unless somebody says why it decides nothing."""
    from flask_appbuilder import Model

    with databases.empty() as url, _engine(url) as engine:
        with superset_app.app.app_context():
            Model.metadata.create_all(engine)
        tables = {table.name for table in Model.metadata.tables.values()}
        assert set(IDLE) <= tables and all(IDLE.values())
        stamps = ready(MetadataStamps(lambda: engine, watched_tables))
        wrong = [name for name in sorted(tables) if _ends(engine, stamps, name) != (name not in IDLE)]
        stamps.uninstall()
    assert wrong == []


@contextmanager
def _engine(url: str) -> Iterator[Any]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def _ends(engine: Any, stamps: MetadataStamps, table: str) -> bool:
    """Whether a mark ends with a write to a table."""
    mark = marked(stamps)
    with engine.begin() as connection:
        connection.exec_driver_sql(f'DELETE FROM "{table}"')
    return not stamps.holds(mark)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A server that the test may freeze and crash."""
    with postgres_in(tmp_path) as made:
        yield made


def test_a_crash_of_the_server_ends_all_marks(server: Postgres, make: Make, run: Run) -> None:
    """Intent: a transaction that a crash has undone gives its id to another one; the server's process lives on."""
    del run
    url = server.create_database("meta")
    with closing(psycopg2.connect(url)) as connection, closing(psycopg2.connect(url)) as other:
        connection.autocommit = other.autocommit = True
        connection.cursor().execute(TABLES)
        stamps = ready(make(url))
        connection.cursor().execute("CHECKPOINT")  # this server forgets what a real one has written
        mark = marked(stamps)
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        until(lambda: _is_cut(other), 120)  # the server lets nobody in from then until it has recovered
    until(stamps.look, 120)
    assert stamps.now() is not None
    assert not stamps.holds(mark)


def _is_cut(connection: Any) -> bool:
    """Whether the server has ended a connection."""
    try:
        connection.cursor().execute("SELECT")
    except psycopg2.OperationalError:
        return True
    return False


def test_nobody_waits_for_a_silent_server(server: Postgres, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a stopped server closes nothing; a mark cannot be had then, and is to be had soon afterwards."""
    url = server.create_database("meta")
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(TABLES)
        stamps = ready(make(url))
        mark = marked(stamps)
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = 'meta' AND pid <> pg_backend_pid()")
        backends = [pid for (pid,) in cursor.fetchall()]
    for name in ("_SILENT", "_WAIT"):
        monkeypatch.setattr(metadata_stamps, name, 0.1)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.extend((stamps.holds(mark), stamps.now())), daemon=True)
    pids = [server.pid, *backends]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        asking.start()
        asking.join(120)
        assert answers == [None, None]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    monkeypatch.setattr(metadata_stamps, "_WAIT", 60.0)
    until(lambda: stamps.now(), 120)
    assert stamps.holds(mark)


def test_the_doctor_says_which_mode_is_on_and_why_not(
    run: Run, stamps: MetadataStamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: off, impossible, on, and without its triggers; nobody wonders why charts are not faster."""
    monkeypatch.setattr(doctor, "metadata_engine", lambda _: stamps._engine())

    def doctor_of(mode: str, why: str | None = None) -> tuple[str, str]:
        made = SimpleNamespace(stamps=stamps, hooks=SimpleNamespace(impossible=lambda: why))
        app = SimpleNamespace(extensions={EXTENSION: made} if mode != "off" else {})
        package = Package(load({"SUPERSET_EXT_GRANTS": mode}), None, None, ())
        (finding,) = doctor.check_grants(app, package)
        return finding.level, f"{finding.message}; {finding.fix}"

    assert doctor_of("off") == ("fine", "no answer is given again: SUPERSET_EXT_GRANTS is off; ")
    assert "it moves" in doctor_of("triggers", "it moves")[1]
    assert doctor_of("triggers")[0] == "fine" and "answers are given again" in doctor_of("triggers")[1]
    assert doctor_of("stamps")[0] == "warning"
    run("DROP TRIGGER superset_ext_grants ON ab_user_role")
    level, text = doctor_of("triggers")
    assert level == "warning" and "ab_user_role are not told" in text and "superset perf upgrade" in text
