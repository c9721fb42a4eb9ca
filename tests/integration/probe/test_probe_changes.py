"""What a probe takes for a change, on PostgreSQL and on other engines."""

from __future__ import annotations

import os
import signal
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from superset_ext.embedded.postgres import Postgres
from superset_ext.freshness.change import SourceTable
from superset_ext.sqltables.table import Table
from testing.probes import TABLE, Charts, Source, is_refused, lite_run, registered, running, until
from testing.standby import standby_of
from testing.versions import need

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
    if change == "merge":
        with closing(psycopg2.connect(source.url)) as connection:
            need(connection, 15, "MERGE")
    source.run(*before)
    probe = source.probe(table="public.w")
    assert charts.seen(probe) == "changed"
    assert charts.seen(probe) == "unchanged"
    source.run(*after)
    assert charts.seen(probe) == "changed"
    assert charts.seen(probe) == "unchanged"
    assert len(charts.changes) == 2


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
        with running(standby_of(primary, tmp_path / "replica").data_dir) as replica:
            behind = registered(replica.url())
            until(lambda: behind.rows("SELECT pg_is_in_recovery()") == [(True,)])
            assert is_refused(charts, behind.probe(table="public.w"), "a replica counts no changes")
            growing = behind.probe(table="public.w", column="n")
            assert charts.seen(growing) == "changed"
            source.run("INSERT INTO w VALUES (9, 9)")
            assert until(lambda: behind.rows("SELECT max(n) FROM w") == [(9,)])
            assert charts.seen(growing) == "changed"


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
    assert charts.changes[0].tables == (SourceTable(source.id, Table("My.Data", 'a"b')),)
    assert charts.seen(source.probe(table="PUBLIC.T")) == "changed"


def test_other_engines_count_rows(lite: Source, charts: Charts) -> None:
    """Intent: without statistics the number of rows is the default, and sees what adds or removes some."""
    probe = lite.probe(table="t")
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    lite_run(lite, "UPDATE t SET updated_at = '2026-02-02'")
    assert charts.seen(probe) == "unchanged", "as the README says"
    lite_run(lite, "INSERT INTO t VALUES (3, '2026-02-03')")
    assert charts.seen(probe) == "changed"
    assert charts.changes[-1].tables == (SourceTable(lite.id, Table("", "t")),)


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
