"""Probes on real sources: what they notice and what they refuse, whose turn it is, and what happens when they fail.

Superset's app is made in this process, once, over a metadata database of its own.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from celery import _state
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import Pool

from superset_ext.core import warn_once as quiet
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres, binary
from superset_ext.errors import LogUnavailable, StoreUnavailable
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.probe import claims as claiming
from superset_ext.freshness.probe import schedule as probing
from superset_ext.freshness.probe import threads as probe_threads
from superset_ext.freshness.probe.schedule import has_data_changed, probe_now, run_due
from superset_ext.freshness.probe.status import status
from superset_ext.freshness.probe.subject import Probed
from superset_ext.settings import Probe, Probes
from superset_ext.sqltables.table import Table

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SECRET = "the secret key of these tests"
PATIENCE = 120.0  # seconds; a test that waits longer has failed


@pytest.fixture(scope="module")
def app(postgres: Postgres) -> Iterator[Any]:
    """Superset as stock, with the tables that it keeps databases and datasets in."""
    with celery_as_before(), pytest.MonkeyPatch.context() as patch:
        config = importlib.import_module("superset.config")
        own = ModuleType("superset_config_of_probes")
        vars(own).update({name: value for name, value in vars(config).items() if name.isupper()})
        vars(own).update(
            SQLALCHEMY_DATABASE_URI=postgres.create_database(f"m_{uuid4().hex[:12]}"), SECRET_KEY=SECRET,
            FLASK_APP_MUTATOR=None, CONTENT_SECURITY_POLICY_WARNING=False,
        )  # fmt: skip
        patch.setitem(sys.modules, own.__name__, own)
        from superset.app import create_app
        from superset.extensions import celery_app

        patch.setattr(celery_app, "Task", celery_app.Task)  # Superset puts its own there
        made = create_app(own.__name__)
        with made.app_context():
            from flask_appbuilder import Model
            from superset.extensions import db

            Model.metadata.create_all(db.engine)
        yield made


@contextmanager
def celery_as_before() -> Iterator[None]:
    """Superset makes its Celery app that of the process, where other tests have none, or their own."""
    before = (_state.default_app, _state._tls.current_app)
    yield
    _state.set_default_app(before[0])
    _state._set_current_app(before[1])


@pytest.fixture
def context(app: Any) -> Iterator[Any]:
    with app.app_context():
        yield app


@pytest.fixture(scope="module")
def log_url(postgres: Postgres) -> str:
    """The log database of all tests here, each of which begins with no probe."""
    url = postgres.create_database(f"l_{uuid4().hex[:12]}")
    with closing(LogDatabase(url)) as made:
        made.apply_schema()
    return url


@pytest.fixture
def log(log_url: str) -> Iterator[LogDatabase]:
    with closing(LogDatabase(log_url)) as made:
        with made.transaction() as cursor:
            cursor.execute("TRUNCATE superset_ext.cache_probe")
        yield made


@pytest.fixture(scope="module")
def source_url(postgres: Postgres) -> str:
    """A database of which each test has the schema `public` to itself."""
    return postgres.create_database(f"s_{uuid4().hex[:12]}")


@dataclass
class Source:
    """A source database that Superset knows."""

    name: str
    id: int
    url: str

    def run(self, *statements: str) -> None:
        """Run statements, each committed, and hand in what PostgreSQL counted of them."""
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for statement in (*statements, "SELECT pg_stat_force_next_flush()"):
                cursor.execute(statement)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def probe(self, **values: Any) -> Probe:
        return Probe.model_validate(
            {"database": self.name} | ({} if "dataset" in values else {"table": "public.t"}) | values
        )


def registered(url: str, extra: dict[str, Any] | None = None) -> Source:
    """Make Superset know a database."""
    from superset.extensions import db
    from superset.models.core import Database

    made = Database(database_name=f"source {uuid4().hex[:8]}", extra=json.dumps(extra or {}))
    made.set_sqlalchemy_uri(url)
    db.session.add(made)
    db.session.commit()
    return Source(made.database_name, made.id, url)


def dataset(source: Source, name: str, schema: str | None = "public", sql: str | None = None) -> int:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database

    made = SqlaTable(table_name=name, schema=schema, sql=sql, database=db.session.get(Database, source.id))
    db.session.add(made)
    db.session.commit()
    return int(made.id)


EMPTY = 'DROP SCHEMA IF EXISTS public, other, "My.Data" CASCADE; CREATE SCHEMA public'


@pytest.fixture
def source(context: Any, source_url: str) -> Source:
    """A PostgreSQL database with a table of two rows."""
    made = registered(source_url)
    made.run(EMPTY, "CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    return made


@pytest.fixture
def lite(context: Any, tmp_path: Path) -> Source:
    """A SQLite database with a table of two rows."""
    made = registered(f"sqlite:///{tmp_path / 'source.db'}?check_same_thread=false")
    lite_run(
        made, "CREATE TABLE t (id int, updated_at text)", "INSERT INTO t VALUES (1, '2026-01-01'), (2, '2026-01-02')"
    )
    return made


def lite_run(source: Source, *statements: str) -> None:
    path = source.url.removeprefix("sqlite:///").split("?")[0]
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@dataclass
class Charts:
    """Who is told, and at what hour it is asked."""

    database: LogDatabase
    told: list[Probed] = field(default_factory=list)
    broken: bool = False

    def stamp(self, probed: Probed) -> None:
        if self.broken:
            raise StoreUnavailable("Redis is away")
        self.told.append(probed)

    def run(self, seconds: float, *probes: Probe) -> list[str]:
        """The states that the probes come to, so many seconds after the beginning."""
        return [each.state for each in self.outcomes(seconds, *probes)]

    def outcomes(self, seconds: float, *probes: Probe) -> list[probing.Outcome]:
        return run_due(self.database, probes, self.stamp, now=T0 + timedelta(seconds=seconds))

    def seen(self, probe: Probe) -> str:
        """What the probe comes to now, after a first answer."""
        return probe_now(self.database, [probe], self.stamp)[0].state

    def row(self, probe: Probe) -> dict[str, Any]:
        return self.database.rows("SELECT * FROM superset_ext.cache_probe WHERE probe = %s", (probe.key,))[0]


@pytest.fixture
def charts(log: LogDatabase) -> Iterator[Charts]:
    quiet._last.clear()
    yield Charts(log)


def test_the_same_answer_touches_nothing(source: Source, charts: Charts) -> None:
    """Intent: the first answer is told, since entries may be older; after that, nobody while the data is the same."""
    probe = source.probe()
    assert charts.run(0, probe) == ["changed"]
    assert charts.told == [Probed(probe.name, source.id, (SourceTable(source.id, Table("public", "t")),))]
    first = charts.row(probe)
    source.rows("SELECT * FROM t")
    assert charts.run(60, probe) == charts.run(120, probe) == ["unchanged"]
    assert len(charts.told) == 1
    later = charts.row(probe)
    assert (later["answer"], later["changed_at"]) == (first["answer"], T0)
    assert later["answered_at"] == T0 + timedelta(seconds=120)


def test_a_probe_is_asked_once_an_interval(source: Source, charts: Charts) -> None:
    """Intent: what is not due is left alone, and the next turn is an interval from the last."""
    probe = source.probe(every=60)
    assert charts.run(0, probe) == ["changed"]
    assert charts.run(5, probe) == charts.run(59.9, probe) == []
    assert charts.run(60, probe) == ["unchanged"]


TABLE = ("CREATE TABLE w (id int, n int)", "INSERT INTO w VALUES (1, 1), (2, 2)")
PARTS = (
    "CREATE TABLE w (id int, n int) PARTITION BY LIST (id)",
    "CREATE TABLE w1 PARTITION OF w FOR VALUES IN (1) PARTITION BY LIST (n)",
    "CREATE TABLE w11 PARTITION OF w1 FOR VALUES IN (1)",
    "CREATE TABLE w2 (id int, n int)",
    "INSERT INTO w2 VALUES (2, 2)",
)
MATERIALIZED = ("CREATE MATERIALIZED VIEW w AS SELECT * FROM t", "CREATE UNIQUE INDEX ON w (id)")
VIEWS = ("CREATE VIEW v AS SELECT * FROM t WHERE n > 0", "CREATE VIEW w AS SELECT id FROM v WHERE now() > '2020-01-01'")
CHANGES = {
    "insert": (TABLE, ["INSERT INTO w VALUES (3, 3)"]),
    "update": (TABLE, ["UPDATE w SET n = 7 WHERE id = 1"]),
    "delete": (TABLE, ["DELETE FROM w WHERE id = 1"]),
    "delete and insert": (TABLE, ["DELETE FROM w", "INSERT INTO w VALUES (1, 1), (2, 2)"]),
    "merge": (TABLE, ["MERGE INTO w USING t ON w.id = t.id WHEN MATCHED THEN UPDATE SET n = 9"]),
    "truncate": (TABLE, ["TRUNCATE w"]),
    "truncate of nothing that was counted": (("CREATE TABLE w AS SELECT 1 AS n",), ["TRUNCATE w"]),
    "rewrite": (TABLE, ["ALTER TABLE w ALTER n TYPE bigint USING n * 2"]),
    "column with a default": (TABLE, ["ALTER TABLE w ADD more int DEFAULT 5"]),
    "columns swapped": (TABLE, [f"ALTER TABLE w RENAME {a} TO {b}" for a, b in (("id", "x"), ("n", "id"), ("x", "n"))]),
    "another table of its name": (TABLE, ["ALTER TABLE w RENAME TO old", *TABLE]),
    "reset counts that climb to what they were": (TABLE, [
        "SELECT pg_stat_reset_single_table_counters('w'::regclass)", "INSERT INTO w VALUES (1, 1), (2, 2)",
    ]),
    "refresh": ((*MATERIALIZED, "INSERT INTO t VALUES (5, 5)"), ["REFRESH MATERIALIZED VIEW w"]),
    "refresh concurrently": (
        (*MATERIALIZED, "INSERT INTO t VALUES (5, 5)"), ["REFRESH MATERIALIZED VIEW CONCURRENTLY w"],
    ),
    "row in a partition of a partition": (PARTS, ["INSERT INTO w VALUES (1, 1)"]),
    "new partition": (PARTS, ["ALTER TABLE w ATTACH PARTITION w2 FOR VALUES IN (2)"]),
    "partition taken away": (
        (*PARTS, "ALTER TABLE w ATTACH PARTITION w2 FOR VALUES IN (2)"), ["ALTER TABLE w DETACH PARTITION w2"],
    ),
    "partition emptied": (
        (*PARTS, "ALTER TABLE w ATTACH PARTITION w2 FOR VALUES IN (2)"), ["TRUNCATE w2"],
    ),
    "row in a child": ((*TABLE, "CREATE TABLE c () INHERITS (w)"), ["INSERT INTO c VALUES (3, 3)"]),
    "row behind two views": (VIEWS, ["INSERT INTO t VALUES (5, 5)"]),
    "view defined anew": (VIEWS, ["CREATE OR REPLACE VIEW v AS SELECT * FROM t WHERE n > 1"]),
    "refresh behind a view": (
        ("CREATE MATERIALIZED VIEW m AS SELECT 1 AS n", "CREATE VIEW w AS SELECT * FROM m"),
        ["REFRESH MATERIALIZED VIEW m"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_told_once(source: Source, charts: Charts, change: str) -> None:
    """Intent: whatever changes the rows of a table, a partition, a view or a materialized view is noticed."""
    before, after = CHANGES[change]
    source.run(*before)
    probe = source.probe(table="public.w")
    assert charts.seen(probe) == "changed"
    assert charts.seen(probe) == "unchanged"
    source.run(*after)
    assert charts.seen(probe) == "changed"
    assert charts.seen(probe) == "unchanged"
    assert len(charts.told) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM w",
        "VACUUM w",
        "ANALYZE w",
        "CREATE INDEX ON w (n)",
        "INSERT INTO t VALUES (5, 5)",
        "CREATE TABLE other (n int)",
    ],
)
def test_what_leaves_the_rows_as_they_are_is_no_change(source: Source, charts: Charts, statement: str) -> None:
    """Intent: reading, maintenance and other tables drop no entry."""
    source.run(*TABLE, "DELETE FROM w WHERE id = 2")
    probe = source.probe(table="public.w")
    charts.seen(probe)
    source.run(statement)
    assert charts.seen(probe) == "unchanged"


def test_a_refresh_of_the_source_alone_changes_no_materialized_view(source: Source, charts: Charts) -> None:
    """Intent: what is shown of a materialized view changes when it is refreshed, not before."""
    source.run(*MATERIALIZED)
    probe = source.probe(table="public.w")
    charts.seen(probe)
    source.run("INSERT INTO t VALUES (5, 5)")
    assert charts.seen(probe) == "unchanged"


def test_a_crash_is_a_change(context: Any, tmp_path: Path, charts: Charts) -> None:
    """Intent: a crash sets the counts to zero, from where they could climb to what they were."""
    with running(tmp_path / "crashing") as server:
        source = registered(server.url())
        source.run(*TABLE)
        probe = source.probe(table="public.w")
        assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
        started = source.rows(RESTARTED)
        crash(source)
        until(lambda: source.rows(RESTARTED) not in ([], started))
        source.run("INSERT INTO w VALUES (1, 1), (2, 2)")
        assert source.rows("SELECT pg_stat_get_tuples_inserted('w'::regclass)") == [(2,)]
        assert charts.seen(probe) == "changed"


RESTARTED = "SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'"


def crash(source: Source) -> None:
    """End a backend as a memory fault would; PostgreSQL then restarts all of them."""
    with suppress(psycopg2.Error), closing(psycopg2.connect(source.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        os.kill(cursor.fetchone()[0], signal.SIGABRT)
        cursor.execute("SELECT pg_sleep(5)")


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(psycopg2.Error):
            if value := found():
                return value
        assert time.monotonic() < deadline
        time.sleep(0.1)


OUTSIDE = (
    "DROP FOREIGN DATA WRAPPER IF EXISTS outside CASCADE",
    "CREATE FOREIGN DATA WRAPPER outside",
    "CREATE SERVER outside FOREIGN DATA WRAPPER outside",
)
HIDDEN = "CREATE FUNCTION g() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM t'"
REFUSED = {
    'there is no table "public"."w"': (),
    "w is a foreign table": (*OUTSIDE, "CREATE FOREIGN TABLE w (n int) SERVER outside"),
    "f is a foreign table": (
        *OUTSIDE,
        "CREATE FOREIGN TABLE f (n int) SERVER outside",
        "CREATE VIEW w AS SELECT n FROM t UNION ALL SELECT n FROM f",
    ),
    "part is a foreign table": (
        *OUTSIDE,
        "CREATE TABLE w (n int) PARTITION BY LIST (n)",
        "CREATE FOREIGN TABLE part PARTITION OF w FOR VALUES IN (1) SERVER outside",
    ),
    "w is kept by pile": (
        "DROP ACCESS METHOD IF EXISTS pile",
        "CREATE ACCESS METHOD pile TYPE TABLE HANDLER heap_tableam_handler",
        "CREATE TABLE w (n int) USING pile",
    ),
    "the view w calls g(), which may read anything": (HIDDEN, "CREATE VIEW w AS SELECT g() AS n, id FROM t"),
    "no table is behind it": ("CREATE VIEW w AS SELECT 1 AS n",),
    "w is not a table": ("CREATE SEQUENCE w",),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_counted_is_refused(source: Source, charts: Charts, reason: str) -> None:
    """Intent: where changes cannot be noticed the probe fails, with what to do, rather than say «unchanged»."""
    source.run(*REFUSED[reason])
    assert is_refused(charts, source.probe(table="public.w"), reason)


def is_refused(charts: Charts, probe: Probe, reason: str) -> bool:
    (outcome,) = charts.outcomes(0, probe)
    assert outcome.state == "failing"
    assert str(outcome.error).startswith(reason)
    return str(outcome.error).endswith("give the probe a column that grows, or sql of its own")


def test_a_server_that_counts_nothing_is_refused(context: Any, charts: Charts, postgres: Postgres) -> None:
    """Intent: without track_counts no number ever moves."""
    source = registered(postgres.create_database(f"s_{uuid4().hex[:12]}"))
    source.run(*TABLE, f"ALTER DATABASE {source.url.rpartition('/')[2]} SET track_counts = off")
    assert is_refused(charts, source.probe(table="public.w"), "track_counts is off")


def test_a_replica_is_refused(context: Any, tmp_path: Path, charts: Charts) -> None:
    """Intent: a replica replays changes without counting them; a column works there as anywhere."""
    with running(tmp_path / "primary") as primary:
        source = registered(primary.url())
        source.run(*TABLE)
        with running(copied(primary, tmp_path / "replica")) as replica:
            behind = registered(replica.url())
            until(lambda: behind.rows("SELECT pg_is_in_recovery()") == [(True,)])
            assert is_refused(charts, behind.probe(table="public.w"), "a replica counts no changes")
            growing = behind.probe(table="public.w", column="n")
            assert charts.seen(growing) == "changed"
            source.run("INSERT INTO w VALUES (9, 9)")
            assert until(lambda: behind.rows("SELECT max(n) FROM w") == [(9,)])
            assert charts.seen(growing) == "changed"


def copied(primary: Postgres, folder: Path) -> Path:
    """The data of a replica of a server."""
    command = [binary("pg_basebackup"), "-d", primary.url(), "-D", folder, "-R", "-c", "fast", "-X", "stream"]
    subprocess.run([*map(str, command), "--no-sync"], check=True, capture_output=True)
    folder.with_name(f"{folder.name}.password").write_text(primary.password)
    return folder


@contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """A server of the test's own."""
    server = Postgres(folder).start()
    try:
        yield server
    finally:
        server.stop()


def test_a_role_that_may_read_nothing_else_may_probe(source: Source, charts: Charts) -> None:
    """Intent: statistics need no right beyond those of the charts."""
    role = f"r_{uuid4().hex[:8]}"
    source.run(
        *TABLE,
        f"CREATE ROLE {role} LOGIN PASSWORD 'p'",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON w TO {role}",
    )
    plain = registered(str(make_url(source.url).set(username=role, password="p")))
    probe = plain.probe(table="public.w")
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    source.run("UPDATE w SET n = 0")
    assert charts.seen(probe) == "changed"


def test_a_table_is_found_as_it_is_written_or_folded(source: Source, charts: Charts) -> None:
    """Intent: names with capitals, dots and quotes work, and so does SQL's habit to write names in capitals."""
    source.run('CREATE SCHEMA "My.Data"', 'CREATE TABLE "My.Data"."a""b" (n int)')
    probe = source.probe(table='"My.Data"."a""b"')
    assert charts.seen(probe) == "changed"
    assert charts.told[0].tables == (SourceTable(source.id, Table("My.Data", 'a"b')),)
    assert charts.seen(source.probe(table="PUBLIC.T")) == "changed"


def test_a_failure_is_borne_and_then_told_at_each_turn(
    source: Source, charts: Charts, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: while nobody knows, charts go to the database, from the end of patience to the first answer."""
    probe = source.probe(every=60, patience=150)
    assert charts.run(0, probe) == ["changed"]
    source.run("ALTER TABLE t RENAME TO gone")
    assert [charts.run(at, probe) for at in (60, 120, 180)] == [["failing"]] * 3
    assert len(charts.told) == 1, "it is borne for a while"
    assert charts.row(probe)["next_at"] == T0 + timedelta(seconds=210), "patience ends before its next turn"
    with caplog.at_level(logging.INFO):
        assert [charts.run(at, probe) for at in (210, 270, 330)] == [["unknown"]] * 3
        assert len(charts.told) == 4
        assert caplog.text.count("so its charts go to the database: there is no table") == 1, "once a minute at most"
        source.run("ALTER TABLE gone RENAME TO t")
        assert charts.run(390, probe) == ["changed"], "the answer is the one of before, and told all the same"
        assert "answers again" in caplog.text
    assert charts.run(450, probe) == ["unchanged"]
    assert len(charts.told) == 5
    row = charts.row(probe)
    assert (row["failed_since"], row["error"]) == (None, None)


def test_a_failure_that_passes_in_time_is_forgotten(source: Source, charts: Charts) -> None:
    """Intent: a moment without the source costs no entry where its data is the same."""
    probe = source.probe(every=60, patience=300)
    charts.run(0, probe)
    source.run("ALTER TABLE t RENAME TO gone")
    assert charts.run(60, probe) == ["failing"]
    assert charts.row(probe)["failed_since"] == T0 + timedelta(seconds=60)
    source.run("ALTER TABLE gone RENAME TO t")
    assert charts.run(120, probe) == ["unchanged"]
    assert charts.row(probe)["failed_since"] is None
    assert len(charts.told) == 1


def test_without_patience_the_first_failure_is_told(source: Source, charts: Charts) -> None:
    """Intent: whoever wants no old data at all gets none."""
    probe = source.probe(table="public.absent", patience=0)
    assert charts.run(0, probe) == ["unknown"]
    assert charts.told[0].tables == (SourceTable(source.id, Table("public", "absent")),)


def test_a_change_that_could_not_be_told_is_told_later(source: Source, charts: Charts) -> None:
    """Intent: without Redis the answer is not kept, and the next turn comes soon, even if the data is back."""
    probe = source.probe(sql="SELECT sum(n) FROM t", every=60)
    charts.run(0, probe)
    charts.broken = True
    source.run("UPDATE t SET n = n + 1")
    assert charts.run(60, probe) == ["untold"]
    assert charts.row(probe)["error"] == "charts could not be told: StoreUnavailable: Redis is away"
    assert charts.row(probe)["changed_at"] == T0
    source.run("UPDATE t SET n = n - 1")
    charts.broken = False
    assert charts.run(70, probe) == ["changed"]
    assert charts.row(probe)["error"] is None
    assert charts.run(130, probe) == ["unchanged"]
    assert len(charts.told) == 2


def test_a_change_that_is_owed_is_not_borne_again(source: Source, charts: Charts) -> None:
    """Intent: what is known to have changed has no patience, even when the source fails before it was told."""
    probe = source.probe(patience=3600)
    charts.run(0, probe)
    charts.broken = True
    source.run("DELETE FROM t")
    assert charts.run(60, probe) == ["untold"]
    source.run("ALTER TABLE t RENAME TO gone")
    charts.broken = False
    assert charts.run(70, probe) == ["unknown"]
    assert len(charts.told) == 2


def test_any_error_of_the_callback_counts(source: Source, charts: Charts) -> None:
    """Intent: nothing that goes wrong in telling advances the answer, nor keeps the other probes waiting."""
    first, second = source.probe(), source.probe(method="count")

    def stamp(probed: Probed) -> None:
        raise RuntimeError("secret")

    outcomes = run_due(charts.database, [first, second], stamp, now=T0)
    assert [each.state for each in outcomes] == ["untold"] * 2
    assert [charts.row(each)["answer"] for each in (first, second)] == [None] * 2
    assert charts.row(first)["error"] == "charts could not be told: RuntimeError"


def test_two_runners_ask_once(app: Any, source: Source, charts: Charts, log_url: str) -> None:
    """Intent: a probe has one turn an interval, however many workers have a tick at that moment."""
    probes = [source.probe(every=every) for every in (60, 61, 62)]
    gate = threading.Barrier(6)

    def tick(_: int) -> list[probing.Outcome]:
        own = LogDatabase(log_url)
        with app.app_context(), closing(own):
            gate.wait(PATIENCE)
            return run_due(own, probes, charts.stamp, now=T0)

    with ThreadPoolExecutor(6) as pool:
        outcomes = [each for done in pool.map(tick, range(6)) for each in done]
    assert sorted(each.probe.every for each in outcomes) == [60, 61, 62]
    assert len(charts.told) == 3


def test_a_dead_workers_probe_is_asked_by_another(source: Source, charts: Charts) -> None:
    """Intent: a claim ends by itself; until then nobody else asks."""
    probe = source.probe(timeout=10)
    claiming.enrol(charts.database, [probe], T0)
    assert claiming.claim(charts.database, [probe], T0, whenever=False)
    assert charts.run(5, probe) == charts.run(39, probe) == []
    assert charts.run(40, probe) == ["changed"]


def test_a_probe_that_another_worker_is_taking_is_passed_by(source: Source, charts: Charts, log_url: str) -> None:
    """Intent: workers do not wait for each other's claims, nor take the same probe one after the other."""
    taken, free = source.probe(), source.probe(method="count")
    claiming.enrol(charts.database, [taken, free], T0)
    with closing(psycopg2.connect(log_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM superset_ext.cache_probe WHERE probe = %s FOR UPDATE", (taken.key,))
        claims = [claiming.claim(charts.database, [taken, free], T0, whenever=False) for _ in range(2)]
    assert [each and each.probe for each in claims] == [free, None]


def test_an_answer_that_comes_after_the_claim_is_not_taken(source: Source, charts: Charts) -> None:
    """Intent: a worker that slept does not put an earlier answer over a later one."""
    probe = source.probe()
    claiming.enrol(charts.database, [probe], T0)
    asleep = claiming.claim(charts.database, [probe], T0, whenever=False)
    assert asleep
    charts.run(60, probe)
    kept = charts.row(probe)
    claiming.finish(
        charts.database, asleep, T0, answer="old", answered=True, changed=True, error=None, wait=60, probed=None
    )
    assert charts.row(probe) == kept


def test_a_slow_statement_ends_in_time(source: Source, charts: Charts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: PostgreSQL itself ends what takes too long, and says so."""
    monkeypatch.setattr(probe_threads, "GRACE_SECONDS", PATIENCE)
    probe = source.probe(sql="SELECT pg_sleep(30)", timeout=0.3)
    (outcome,) = charts.outcomes(0, probe)
    assert outcome.state == "failing"
    assert "canceling statement due to statement timeout" in str(outcome.error)
    asking = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"
    assert until(lambda: source.rows(asking) == [(0,)])


ENDLESS = "WITH RECURSIVE e (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM e) SELECT max(n) FROM e"


@pytest.fixture
def endless() -> Iterator[threading.Event]:
    """Set while SQLite is at a statement that takes long; before, there is nothing to interrupt."""
    running = threading.Event()

    def connected(driver: Any, _: Any) -> None:
        if isinstance(driver, sqlite3.Connection):
            driver.set_progress_handler(running.set, 100_000)

    event.listen(Pool, "connect", connected)
    yield running
    event.remove(Pool, "connect", connected)


def test_a_slow_source_keeps_nobody_waiting(
    lite: Source, source: Source, charts: Charts, endless: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: other databases are asked meanwhile; a driver without a time limit is interrupted."""
    slow, quick = lite.probe(sql=ENDLESS, timeout=0.4), source.probe(timeout=60)

    def told(_: Probed) -> None:
        assert endless.wait(PATIENCE)
        monkeypatch.setattr(probe_threads, "GRACE_SECONDS", 0.0)

    monkeypatch.setattr(probe_threads, "GRACE_SECONDS", PATIENCE)  # until the quick one has come
    quickly, late = run_due(charts.database, [slow, quick], told, now=T0)
    assert (quickly.probe, quickly.state) == (quick, "changed")
    assert (late.probe, late.state, late.error) == (slow, "failing", "it took longer than 0.4 s")
    assert until(lambda: not asking()), "the interrupted thread ends"
    endless.clear()
    is_late = probe_threads._Asked.is_late
    monkeypatch.setattr(probe_threads._Asked, "is_late", lambda each: endless.is_set() and is_late(each))
    (again,) = charts.outcomes(120, slow)
    assert again.error == "it took longer than 0.4 s", "and the probe is asked again"
    assert until(lambda: not asking())


GATE = "pg_advisory_xact_lock_shared(4711)"
AT_THE_GATE = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"


@contextmanager
def gate(source: Source, count: int, seen: Callable[[], Any]) -> Iterator[list[Any]]:
    """Questions that come to `GATE` wait there until there are so many; what is then seen."""
    found: list[Any] = []
    with closing(psycopg2.connect(source.url)) as keeper, keeper.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(4711)")

        def keep() -> None:
            try:
                until(lambda: source.rows(AT_THE_GATE) == [(count,)])
                found.append(seen())
            finally:
                keeper.rollback()

        thread = threading.Thread(target=keep)
        thread.start()
        yield found
        thread.join()


def test_one_question_at_a_time_to_a_database_and_four_in_all(context: Any, source: Source, charts: Charts) -> None:
    """Intent: a run is quick over many databases, and easy on each."""
    alone = f"SELECT 1 / (CASE WHEN pg_try_advisory_xact_lock({{}}) THEN 1 ELSE 0 END), {GATE}"
    others = [registered(source.url) for _ in range(5)]
    probes = [each.probe(sql=alone.format(number), timeout=60) for number, each in enumerate(others)]
    probes += [each.probe(sql=alone.format(number), timeout=60, every=120) for number, each in enumerate(others[:2])]
    with gate(source, 4, lambda: len(asking())) as seen:
        assert charts.run(0, *probes) == ["changed"] * 7
    assert seen == [4]


def test_a_probe_that_fails_comes_last(source: Source, charts: Charts) -> None:
    """Intent: a slow question does not keep the good ones of its database waiting each time."""
    bad, good = source.probe(sql="SELECT 1 / 0"), source.probe()
    assert sorted(charts.run(0, bad, good)) == ["changed", "failing"]
    assert [each.probe for each in charts.outcomes(60, bad, good)] == [good, bad]


def test_a_run_ends_and_leaves_the_rest_to_the_next(
    source: Source, charts: Charts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a worker is not held for ever, and what was not begun keeps its turn."""
    probes = [source.probe(sql=f"SELECT {number}") for number in range(2)]
    claimed: list[Any] = []
    claim = claiming.claim
    monkeypatch.setattr(claiming, "claim", lambda *each: claimed.append(claim(*each)) or claimed[-1])
    passed = lambda: sum(each is not None for each in claimed) * (probing.SLICE_SECONDS + 1)  # noqa: E731
    monkeypatch.setattr(probing, "time", SimpleNamespace(monotonic=passed))
    assert charts.run(0, *probes) == ["changed"]
    assert charts.run(0, *probes) == ["changed"]
    assert charts.run(0, *probes) == []


def asking() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "superset_ext-probe"]


def test_a_source_that_takes_no_connection_holds_one_thread(context: Any, charts: Charts) -> None:
    """Intent: threads do not pile up before a source that hangs, and its probes fail all the same."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:topsecret@127.0.0.1:{silent.getsockname()[1]}/x"
        source = registered(url)
        probes = [source.probe(timeout=0.2, every=every) for every in (60, 61, 62)]
        assert charts.run(0, *probes) == ["failing"] * 3
        assert charts.run(120, *probes) == ["failing"] * 3
        assert len(asking()) == 1
        errors = {charts.row(each)["error"] for each in probes}
        assert errors == {
            "it was asked before and has not come back, though it took longer than 0.2 s",
            "its database has not answered another probe's connection",
        }
    assert until(lambda: not asking())


def test_superset_keeps_its_connection_while_a_source_is_asked(context: Any, source: Source, charts: Charts) -> None:
    """Intent: a source that takes its time holds no connection of the metadata database."""
    from superset.extensions import db

    db.session.close()
    engine = db.engine
    with gate(source, 1, lambda: engine.pool.checkedout()) as held:
        assert charts.run(0, source.probe(sql=f"SELECT {GATE}", timeout=60)) == ["changed"]
    assert held == [0]


WRITES = [
    "DELETE FROM t",
    "WITH gone AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM gone",
    "SELECT * INTO copied FROM t",
    "SELECT n FROM t FOR UPDATE",
    "TRUNCATE t",
    "CREATE TABLE u AS SELECT 1",
    "CALL nothing()",
    "SET search_path = x",
    "SELECT 1; DELETE FROM t",
    "SELECT 1; SELECT 2",
    "EXPLAIN ANALYZE DELETE FROM t",
    "DO $$ BEGIN DELETE FROM t; END $$",
    "SELEC 1",
    "-- nothing",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_statement_that_does_more_than_read_is_refused(source: Source, charts: Charts, sql: str) -> None:
    """Intent: a probe is one SELECT, and nothing else reaches the source."""
    (outcome,) = charts.outcomes(0, source.probe(sql=sql))
    assert outcome.state == "failing"
    assert str(outcome.error).startswith("its sql ")
    assert str(outcome.error).endswith("; write one SELECT")
    assert source.rows("SELECT count(*) FROM t") == [(2,)]


def test_a_function_that_writes_is_refused_by_postgresql(source: Source, charts: Charts) -> None:
    """Intent: what no parser can see, the transaction does not allow."""
    source.run("CREATE FUNCTION w() RETURNS int LANGUAGE sql AS 'DELETE FROM t RETURNING 1'")
    for extra in ({}, {"engine_params": {"isolation_level": "AUTOCOMMIT"}}):
        (outcome,) = charts.outcomes(0, registered(source.url, extra).probe(sql="SELECT w()"))
        assert "read-only transaction" in str(outcome.error)
    assert source.rows("SELECT count(*) FROM t") == [(2,)]


def test_bytes_are_compared_by_what_they_are(source: Source, charts: Charts) -> None:
    """Intent: an object of the driver is another one each time; what has no text is refused."""
    probe = source.probe(sql="SELECT decode(n::text, 'escape') FROM t WHERE id = 1")
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    (outcome,) = charts.outcomes(0, source.probe(sql="SELECT ARRAY[decode('1', 'escape')]"))
    assert outcome.error == "it gives a value that has no text; cast it in sql"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [("SELECT n FROM t", "it gives several rows"), ("SELECT n FROM t WHERE n = 0", "it gives no row")],
)
def test_an_answer_is_one_row(source: Source, charts: Charts, sql: str, reason: str) -> None:
    """Intent: rows in no order would be another answer each time."""
    (outcome,) = charts.outcomes(0, source.probe(sql=sql))
    assert str(outcome.error).startswith(reason)


def test_sql_is_run_as_it_is_written(source: Source, charts: Charts) -> None:
    """Intent: percent signs, colons and unqualified names of the probe's schema are the source's."""
    source.run("CREATE SCHEMA other", "CREATE TABLE other.u (n text)", "INSERT INTO other.u VALUES ('10%:x')")
    probe = source.probe(table="other.u", sql="SELECT count(*), max(n) FROM u WHERE n LIKE '%:x' -- all")
    assert charts.seen(probe) == "changed"
    assert charts.seen(probe) == "unchanged"
    source.run("INSERT INTO other.u VALUES ('20%:x')")
    assert charts.seen(probe) == "changed"


def test_a_probe_that_is_set_differently_is_told_once(source: Source, charts: Charts) -> None:
    """Intent: its answers compare with nothing; the row of before goes when nobody has asked for it for a day."""
    before, after = source.probe(sql="SELECT sum(n) FROM t"), source.probe(sql="SELECT max(n) FROM t")
    assert charts.run(0, before) == ["changed"]
    assert charts.run(60, after) == ["changed"]
    assert charts.run(120, after) == ["unchanged"]
    assert charts.row(before)
    assert charts.run(90_000, after) == ["unchanged"]
    assert [each["probe"] for each in charts.database.rows("SELECT probe FROM cache_probe")] == [after.key]


def test_a_database_that_is_another_server_now_is_told(source: Source, charts: Charts, postgres: Postgres) -> None:
    """Intent: the same number of rows from another place is another answer."""
    from superset.extensions import db
    from superset.models.core import Database

    probe = source.probe(method="count")
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    other = Source("other", 0, postgres.create_database(f"s_{uuid4().hex[:12]}"))
    other.run("CREATE TABLE t (n int)", "INSERT INTO t VALUES (8), (9)")
    db.session.get(Database, source.id).set_sqlalchemy_uri(other.url)
    db.session.commit()
    assert charts.seen(probe) == "changed"


def test_other_engines_count_rows(lite: Source, charts: Charts) -> None:
    """Intent: without statistics the number of rows is the default, and sees what adds or removes some."""
    probe = lite.probe(table="t")
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    lite_run(lite, "UPDATE t SET updated_at = '2026-02-02'")
    assert charts.seen(probe) == "unchanged", "as the README says"
    lite_run(lite, "INSERT INTO t VALUES (3, '2026-02-03')")
    assert charts.seen(probe) == "changed"
    assert charts.told[-1].tables == (SourceTable(lite.id, Table("", "t")),)


def test_a_column_that_grows_sees_updates(lite: Source, charts: Charts) -> None:
    """Intent: with a column, its largest value is what is asked."""
    probe = lite.probe(table="main.t", column="updated_at")
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    lite_run(lite, "UPDATE t SET updated_at = '2026-02-02' WHERE id = 1")
    assert charts.seen(probe) == "changed"
    lite_run(lite, "DELETE FROM t WHERE id = 2")
    assert charts.seen(probe) == "unchanged", "as the README says"


def test_other_engines_have_no_statistics(lite: Source, charts: Charts) -> None:
    """Intent: what an engine cannot do is said, with what to do instead."""
    (outcome,) = charts.outcomes(0, lite.probe(method="statistics"))
    assert outcome.error == "sqlite has no statistics of changes; give the probe a column that grows, or sql of its own"


def test_a_datasets_table_and_the_dataset_are_told(source: Source, charts: Charts) -> None:
    """Intent: a dataset is found by its id or its name; its charts are told, and whoever else reads its table."""
    number = dataset(source, "t")
    probes = [source.probe(dataset=number), source.probe(dataset="public.t")]
    assert charts.run(0, *probes) == ["changed"] * 2
    assert {(each.dataset_id, each.tables) for each in charts.told} == {
        (number, (SourceTable(source.id, Table("public", "t")),))
    }
    row = charts.row(probes[0])
    assert (row["database_id"], row["table_schema"], row["table_name"], row["dataset_id"]) == (
        source.id, "public", "t", number,
    )  # fmt: skip


def test_a_dataset_that_is_a_query_follows_its_tables(source: Source, charts: Charts) -> None:
    """Intent: only the dataset is told, since nobody knows which of its tables it was."""
    source.run('CREATE TABLE "Big" (n int)')
    number = dataset(source, "joined", sql='SELECT t.n FROM T UNION SELECT b.n FROM public."Big" b WHERE 1=1; -- all')
    probe = source.probe(dataset=number)
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    assert charts.told == [Probed(probe.name, source.id, (), number)]
    for table in ("t (id)", '"Big" (n)'):
        source.run(f"INSERT INTO {table} VALUES (70)")
        assert charts.seen(probe) == "changed"


def test_a_query_dataset_of_another_engine_is_counted(lite: Source, charts: Charts) -> None:
    """Intent: the rows of the query are counted, or its column's largest value is taken."""
    number = dataset(lite, "some", schema=None, sql='SELECT id, updated_at AS "When" FROM t WHERE id > 1 -- some')
    probes = [lite.probe(dataset=number), lite.probe(dataset="some", column="When")]
    assert charts.run(0, *probes) == ["changed"] * 2
    lite_run(lite, "INSERT INTO t VALUES (0, '2027-01-01')")
    assert charts.run(60, *probes) == ["unchanged"] * 2
    lite_run(lite, "INSERT INTO t VALUES (9, '2027-01-01')")
    assert charts.run(120, *probes) == ["changed"] * 2


def test_a_query_dataset_whose_tables_are_unknown_is_refused(source: Source, charts: Charts) -> None:
    """Intent: what a function reads nobody can follow."""
    source.run("CREATE FUNCTION f() RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t'")
    number = dataset(source, "called", sql="SELECT * FROM f()")
    assert is_refused(charts, source.probe(dataset=number), "the tables of the dataset's SQL cannot be known")


def test_a_template_is_refused(source: Source, charts: Charts) -> None:
    """Intent: SQL that depends on who asks has no answer of its own."""
    number = dataset(source, "templated", sql="SELECT * FROM t WHERE n = {{ current_user_id() }}")
    (outcome,) = charts.outcomes(0, source.probe(dataset=number))
    assert str(outcome.error).startswith("the dataset's SQL is a template")
    assert charts.run(0, source.probe(dataset=number, sql="SELECT max(n) FROM t")) == ["changed"]


def test_an_edited_query_dataset_is_told(source: Source, charts: Charts) -> None:
    """Intent: the same answer to another query is another answer."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    number = dataset(source, "edited", sql="SELECT n FROM t WHERE n > 0")
    probe = source.probe(dataset=number)
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    db.session.get(SqlaTable, number).sql = "SELECT n FROM t WHERE n > 1"
    db.session.commit()
    assert charts.seen(probe) == "changed"


def test_what_superset_does_not_know_is_a_failure_like_any_other(source: Source, charts: Charts) -> None:
    """Intent: a typing error is said; where nobody knows whom to tell, nobody is told."""
    absent = Probe(database="absent", table="public.t", patience=0)
    unknown = [absent, source.probe(dataset=987654, patience=0), source.probe(dataset="public.no", patience=0)]
    errors = {each.probe: (each.state, each.told, each.error) for each in charts.outcomes(0, *unknown)}
    state, told, error = errors.pop(absent)
    assert (state, told) == ("unknown", False)
    assert error is not None and error.startswith("Superset has no database 'absent'; it has: ")
    assert errors == {
        unknown[1]: ("unknown", False, f"the database {source.name!r} has no dataset 987654"),
        unknown[2]: ("unknown", False, f"the database {source.name!r} has no dataset 'public.no'"),
    }
    assert charts.told == []


def test_who_was_known_is_told_also_when_nobody_is_found_any_more(source: Source, charts: Charts) -> None:
    """Intent: a dataset that was deleted, or a metadata database that is away, leaves the last ids to tell."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    number = dataset(source, "t")
    probe = source.probe(dataset=number, patience=0)
    charts.run(0, probe)
    db.session.delete(db.session.get(SqlaTable, number))
    db.session.commit()
    assert charts.run(60, probe) == ["unknown"]
    assert charts.told[1] == charts.told[0]


def test_no_value_and_no_secret_is_kept(context: Any, source: Source, charts: Charts, postgres: Postgres) -> None:
    """Intent: the answer is a keyed hash, and an error names no password."""
    import hashlib

    probe = source.probe(sql="SELECT 123456789")
    charts.run(0, probe)
    kept = json.dumps(charts.row(probe), default=str)
    assert "123456789" not in kept.replace(probe.key, "")
    plain = [hashlib.sha256(text.encode()).hexdigest() for text in ("123456789", "(123456789,)", "[123456789]")]
    assert charts.row(probe)["answer"] not in plain
    wrong = registered(f"postgresql://u:top%20secret@127.0.0.1:{postgres.port}/x?application_name=top%20secret")
    (outcome,) = charts.outcomes(0, wrong.probe(sql="SELECT 'postgresql://a:hidden@h/x'::int"))
    assert outcome.state == "failing" and "secret" not in str(outcome.error)
    (outcome,) = charts.outcomes(0, source.probe(sql="SELECT 'postgresql://a:hidden@h/x'::int"))
    assert "***@h/x" in str(outcome.error) and "hidden" not in str(outcome.error)
    password = str(make_url(source.url).password)
    (outcome,) = charts.outcomes(0, source.probe(sql=f"SELECT 'of {password}'::int"))
    assert "of ***" in str(outcome.error)
    (outcome,) = charts.outcomes(0, source.probe(sql=f"SELECT '{'x' * 2000}'::int"))
    assert len(charts.row(outcome.probe)["error"]) == 500


def test_a_source_is_asked_as_nobody(context: Any, source: Source, charts: Charts) -> None:
    """Intent: whoever is logged in where the probe runs, the database is asked as its own user."""
    from flask import g

    users: list[Any] = []

    def mutator(uri: Any, params: Any, username: Any, *_: Any) -> tuple[Any, Any]:
        users.append(username)
        return uri, params

    g.user = type("User", (), {"username": "ann", "id": 1, "email": "a@b"})()
    context.config["DB_CONNECTION_MUTATOR"] = mutator
    try:
        charts.run(0, source.probe())
    finally:
        context.config["DB_CONNECTION_MUTATOR"] = None
    assert users and set(users) == {None}


def test_has_data_changed_touches_nothing(source: Source, charts: Charts) -> None:
    """Intent: yes, no and nobody knows, without telling anybody and without keeping the answer."""
    probe = source.probe()
    assert has_data_changed(charts.database, probe) is True, "nothing is known yet"
    charts.run(0, probe)
    kept = charts.row(probe)
    assert has_data_changed(charts.database, probe) is False
    source.run("DELETE FROM t WHERE id = 1")
    assert has_data_changed(charts.database, probe) is True
    source.run("DROP TABLE t")
    assert has_data_changed(charts.database, probe) is None
    assert charts.row(probe) == kept
    assert len(charts.told) == 1


def test_probe_now_asks_by_name(source: Source, charts: Charts) -> None:
    """Intent: somebody who does not want to wait asks out of turn, all or some."""
    source.run(*TABLE)
    probes = [source.probe(), source.probe(table="public.w")]
    assert len(probe_now(charts.database, probes, charts.stamp)) == 2
    (outcome,) = probe_now(charts.database, probes, charts.stamp, name=f"{source.name}: public.w")
    assert (outcome.probe, outcome.state) == (probes[1], "unchanged")


def test_status_says_what_is_wrong(source: Source, charts: Charts) -> None:
    """Intent: each probe has one line, with its problem and the fix."""
    good, bad, never = source.probe(), source.probe(table="public.no"), source.probe(table="public.never")
    probe_now(charts.database, [good, bad], charts.stamp)
    said = status(charts.database, [good, bad, never])
    assert [each["probe"] for each in said] == [good.name, bad.name, never.name]
    assert said[0]["problem"] is None and said[0]["changed_at"] is not None
    assert said[1]["problem"].startswith('it fails: there is no table "public"."no"')
    assert said[2]["problem"] == "it was never asked; see that Celery beat and a worker run"
    with charts.database.transaction() as cursor:
        cursor.execute("UPDATE cache_probe SET failed_since = now() - interval '1 hour' WHERE failed_since IS NOT NULL")
        cursor.execute("UPDATE cache_probe SET next_at = now() - interval '2 minutes' WHERE failed_since IS NULL")
    said = status(charts.database, [good, bad])
    assert re.fullmatch(r"its turn was 1\d\d s ago; see that Celery beat and a worker run", said[0]["problem"])
    assert said[1]["problem"].startswith("it fails, and its charts go to the database: there is no table")


def test_without_the_log_database_charts_go_to_the_database(
    source: Source, charts: Charts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a probe that nobody can take a turn at has failed, too, once its patience is over."""
    away = LogDatabase("postgresql://nobody:x@127.0.0.1:9/none")
    probes = [source.probe(patience=20), source.probe(patience=3600)]
    clock = [1000.0]
    monkeypatch.setattr(probing, "_away_since", None)
    monkeypatch.setattr(probing.time, "monotonic", lambda: clock[0])
    for seconds, told in ((0, 0), (19, 0), (21, 1), (26, 2)):
        clock[0] = 1000.0 + seconds
        with pytest.raises(LogUnavailable):
            run_due(away, probes, charts.stamp)
        assert len(charts.told) == told
    monkeypatch.undo()
    assert charts.told[0].tables == (SourceTable(source.id, Table("public", "t")),)
    charts.run(0, *probes)
    assert probing._away_since is None


@pytest.mark.parametrize(
    ("said", "where", "problem"),
    [
        ("[{}]", (0, "database"), "Field required"),
        ('[{"database": "d"}]', (0, "dataset"), "and table: name exactly one of them"),
        ('[{"database": "d", "table": "t", "dataset": 1}]', (0, "dataset"), "and table: name exactly one of them"),
        ('[{"database": true, "table": "t"}]', (0, "database"), 'is neither a name nor an id; write "examples", or 1'),
        (
            '[{"database": 1, "table": "a.b.c.d"}]', (0, "table"),
            "is not the name of a table ('a.b.c.d'); write schema.table, and a part that has a dot in double quotes",
        ),
        ('[{"database": 1, "table": "t", "every": 1}]', (0, "every"), "Input should be greater than or equal to 5"),
        (
            '[{"database": 1, "table": "t", "method": "max"}]', (0, "method"),
            "is max, which needs a column that grows, such as updated_at",
        ),
        (
            '[{"database": 1, "table": "t", "method": "count", "column": "c"}]', (0, "method"),
            "is count, which reads no column; leave column out, or write max",
        ),
        (
            '[{"database": 1, "table": "t", "sql": "SELECT 1", "column": "c"}]', (0, "method"),
            "and column repeat what sql says; leave them out, or sql",
        ),
        ('[{"database": 1, "table": "t"}, {"database": 1, "table": "t"}]', (), "has a probe twice; leave one out"),
        ("[", (), "is not JSON (Expecting value: line 1 column 2 (char 1)); write a list, as in [{…}, {…}]"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(said: str, where: tuple[Any, ...], problem: str) -> None:
    """Intent: the first problem names its field and the fix, also where two fields contradict each other."""
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(Probes).validate_python(said)
    first = raised.value.errors()[0]
    assert (first["loc"], first["msg"].removeprefix("Value error, ")) == (where, problem)


def test_a_right_setting_is_read() -> None:
    """Intent: names and ids, and what is left out has its default."""
    (probe,) = TypeAdapter(Probes).validate_python('[{"database": 1, "dataset": "public.sales"}]')
    assert (probe.name, probe.every, probe.patience, probe.timeout) == ("1: dataset public.sales", 60, 300, 10)
    assert Probe(database="d", table='c."a.b".t').place() == ("c", "a.b", "t")
    assert Probe(database="d", table="t").place() == ("", "", "t")
