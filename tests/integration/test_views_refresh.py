"""Making and refreshing the views: nobody waits for it, and what fails is said and mends itself."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from superset_ext.core.log_database import SQL, LogDatabase
from superset_ext.errors import LogUnavailable, SchemaError
from superset_ext.monitor.rollup.views import VIEWS, Refreshed, apply_views, make_missing, refresh, view_files, view_of
from testing.rollups import SLOW_MS, ago, cache_row, insert, made, query_row, write

PATIENCE = 120.0  # seconds; a test that waits longer has failed
NAMES = [view_of(path) for path in view_files()]
PLAIN = (
    "perf_refresh",
    "perf_advice",
    "perf_finding",
    "perf_upkeep",
    "perf_index_advice",
    "perf_rewrite",
    "perf_proposal",
    "perf_aggregate",
)
MATERIALIZED = [name for name in NAMES if name not in PLAIN]


@pytest.fixture
def database(views_url: str) -> LogDatabase:
    return made(LogDatabase(views_url), range(6))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


def errors(done: list[Refreshed]) -> dict[str, str]:
    return {refreshed.view: refreshed.error for refreshed in done if refreshed.error is not None}


def count(database: LogDatabase, view: str) -> int:
    return int(database.rows(f"SELECT count(*) AS n FROM {view}")[0]["n"])


def state(database: LogDatabase, view: str) -> dict[str, Any]:
    [row] = database.rows("SELECT * FROM perf_refresh JOIN view_refresh USING (view) WHERE view = %s", (view,))
    return row


def some(url: str, rows: int = 30, **fixed: Any) -> None:
    rng = random.Random(1)
    write(url, [cache_row(rng, ago(minutes=rng.uniform(0, 5000)), **fixed) for _ in range(rows)])


def test_an_empty_log_gives_empty_views(database: LogDatabase) -> None:
    """Intent: a dashboard on a fresh installation says that there is no data, and shows no error."""
    for _ in range(2):
        assert errors(refresh(database, SLOW_MS, list)) == {}
        assert {view: count(database, view) for view in MATERIALIZED} == dict.fromkeys(MATERIALIZED, 0)
    assert sorted(row["view"] for row in database.rows("SELECT view FROM perf_refresh WHERE error IS NULL")) == sorted(
        ["rollups", "names", *MATERIALIZED]
    )


def test_views_can_be_read_before_the_first_refresh(database: LogDatabase) -> None:
    """Intent: between the installation and beat's first minute charts answer too."""
    assert [count(database, view) for view in MATERIALIZED] == [0] * len(MATERIALIZED)


def test_each_part_has_a_unique_index_and_all_is_explained(database: LogDatabase) -> None:
    """Intent: without the index PostgreSQL refuses to refresh while others read; each column says its unit."""
    parts = database.rows("SELECT matviewname AS name FROM pg_matviews WHERE schemaname = 'superset_ext'")
    indexed = database.rows(
        "SELECT relname AS name FROM pg_index JOIN pg_class ON pg_class.oid = indrelid"
        " WHERE relkind = 'm' AND indisunique"
    )
    assert sorted(row["name"] for row in parts) == sorted(row["name"] for row in indexed)
    silent = database.rows(
        "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0"
        " WHERE relnamespace = 'superset_ext'::regnamespace AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm')"
        " AND NOT relispartition AND relname !~ '_(live|past|recent)$'"
        " AND col_description(pg_class.oid, attnum) IS NULL"
    )
    assert silent == []


def test_files_run_in_psql_as_they_stand(database_url: str) -> None:
    """Intent: whoever wants to look or mend needs no Python, and may run a file again."""
    import subprocess

    from superset_ext.embedded.postgres import binary

    LogDatabase(database_url).apply_schema()
    files = [argument for path in view_files() * 2 for argument in ("-f", str(path))]
    subprocess.run([binary("psql"), "-qX", "-v", "ON_ERROR_STOP=1", *files, database_url], check=True)


def test_nobody_waits_for_a_roll_up_or_a_refresh(database: LogDatabase, views_url: str) -> None:
    """Intent: with the locks of a whole cycle held, writers of the log write and readers of the views read; they
    would fail after the time that one may wait for a lock."""
    some(views_url)
    cycle = psycopg2.connect(views_url)
    cursor = cycle.cursor()
    cursor.execute("SELECT superset_ext.roll_up('cache'), superset_ext.roll_up('query', 1)")
    for view in MATERIALIZED:
        cursor.execute("SELECT superset_ext.refresh_view(%s)", (view,))
    limit = "SET lock_timeout = '30s'"  # the cycle keeps its locks for as long as that
    other = psycopg2.connect(views_url)
    with other, other.cursor() as reader:
        reader.execute(limit)
        insert(reader, [cache_row(random.Random(2), ago())])
        insert(reader, [query_row(random.Random(2), ago())], "query_performance_log")
        for view in NAMES:
            reader.execute(f"SELECT * FROM superset_ext.{view}")
    other.close()
    cycle.commit()
    cycle.close()


def test_eight_writers_and_eight_readers_go_on(database: LogDatabase, views_url: str) -> None:
    """Intent: while cycle follows cycle, no writer and no reader ever meets an error or a wait for a lock, and
    no reader sees a view without rows that it had."""
    some(views_url, cache_type="chart_data", channel="web")
    refresh(database, SLOW_MS)
    stop, failed, rounds = threading.Event(), [], [0] * 16

    def work(number: int, one: Callable[[Any, random.Random], None]) -> None:
        connection, rng = psycopg2.connect(views_url), random.Random(number)
        try:
            connection.cursor().execute("SET lock_timeout = '60s'")
            while not stop.is_set():
                with connection, connection.cursor() as cursor:
                    one(cursor, rng)
                rounds[number] += 1
        except (psycopg2.Error, AssertionError) as error:
            failed.append(error)
        finally:
            connection.close()

    def writes(cursor: Any, rng: random.Random) -> None:
        insert(cursor, [cache_row(rng, ago(hours=rng.choice([0, 2, 50])), channel="web") for _ in range(5)])

    def reads(cursor: Any, rng: random.Random) -> None:
        cursor.execute(f"SELECT * FROM superset_ext.{rng.choice(['perf_cache_hour', 'perf_chart', 'perf_cache_day'])}")
        assert cursor.rowcount > 0

    threads = [threading.Thread(target=work, args=(n, writes if n < 8 else reads)) for n in range(16)]
    for thread in threads:
        thread.start()
    until(lambda: min(rounds) > 0 or bool(failed))
    before = list(rounds)
    for _ in range(3):
        assert errors(refresh(database, SLOW_MS)) == {}
    until(lambda: all(now > then for now, then in zip(rounds, before, strict=True)) or bool(failed))
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    refresh(database, SLOW_MS)
    [logged] = database.rows("SELECT sum(cache_hits + cache_misses)::int AS n FROM cache_performance_log"
                             " WHERE channel IS DISTINCT FROM 'warm'")  # fmt: skip
    [shown] = database.rows("SELECT sum(requests)::int AS n FROM perf_cache_day")
    assert shown == logged


def test_a_view_that_fails_is_noted_and_stops_no_other(database: LogDatabase, views_url: str) -> None:
    """Intent: with a table locked by an administrator all other views are refreshed, the dashboard can say which
    one is old, and since when; the next refresh mends it."""
    holder = psycopg2.connect(views_url)
    holder.cursor().execute("LOCK TABLE superset_ext.cache_warm_run IN ACCESS EXCLUSIVE MODE")
    some(views_url)
    as_of = state(database, "perf_warming")["refreshed_at"]
    failed = errors(refresh(database, SLOW_MS))
    assert list(failed) == ["perf_warming"]
    assert "lock timeout" in failed["perf_warming"]
    first = state(database, "perf_warming")
    assert first["error"] == failed["perf_warming"]
    assert first["refreshed_at"] == as_of < first["failed_since"]
    assert count(database, "perf_cache_hour") > 0
    holder.rollback()
    holder.close()
    assert errors(refresh(database, SLOW_MS)) == {}
    mended = state(database, "perf_warming")
    assert (mended["error"], mended["failed_since"]) == (None, None)
    assert mended["refreshed_at"] > as_of


def test_a_view_that_somebody_dropped(database: LogDatabase) -> None:
    """Intent: its refresh names the fix, since when stays the first time, and the fix makes it again."""
    with database.transaction() as cursor:
        cursor.execute("DROP MATERIALIZED VIEW superset_ext.perf_alert")
    since = []
    for _ in range(2):
        failed = errors(refresh(database, SLOW_MS))
        assert list(failed) == ["perf_alert"]
        assert "superset perf upgrade" in failed["perf_alert"]
        since += database.rows("SELECT failed_since FROM view_refresh WHERE view = 'perf_alert'")
    assert since[0] == since[1]
    assert apply_views(database) == ["perf_alert"]
    assert errors(refresh(database, SLOW_MS)) == {}


def test_rollups_and_names_that_fail_are_noted_too(database: LogDatabase, views_url: str) -> None:
    """Intent: the views then are as of an earlier roll-up, which must be said; names come from another database,
    whose errors may be any."""

    def names() -> list[Any]:
        raise RuntimeError("postgresql://user:secret@host/superset")

    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE superset_ext.cache_hourly RENAME TO away")
    some(views_url)
    failed = errors(refresh(database, SLOW_MS, names))
    assert sorted(failed) == ["names", "rollups"]
    assert "secret" not in str(database.rows("SELECT error FROM view_refresh"))
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE superset_ext.away RENAME TO cache_hourly")
    assert errors(refresh(database, SLOW_MS, list)) == {}
    assert state(database, "rollups")["rows"] == 30


def test_a_database_that_is_away_is_an_error(database_url: str) -> None:
    """Intent: where nothing can be noted, Celery's log has it."""
    with pytest.raises(LogUnavailable):
        refresh(LogDatabase("postgresql://127.0.0.1:1/none"), SLOW_MS)


def test_a_killed_refresh_leaves_the_view_and_the_next_is_right(database: LogDatabase, views_url: str) -> None:
    """Intent: half-way, after its first part, the backend dies: the view is as it was, whole."""
    some(views_url, cache_type="chart_data", channel="web")
    with database.transaction() as cursor:  # it is to wait for as long as we may take to kill it
        cursor.execute("SELECT pg_get_functiondef('superset_ext.refresh_view'::regproc)")
        (made,) = cursor.fetchone()
        assert "'lock_timeout', '5s'" in made
        cursor.execute(made.replace("'lock_timeout', '5s'", f"'lock_timeout', '{PATIENCE:.0f}s'"))
    holder, done = psycopg2.connect(views_url), []
    holder.cursor().execute("REFRESH MATERIALIZED VIEW superset_ext.perf_chart_past")
    thread = threading.Thread(target=lambda: done.append(refresh(LogDatabase(views_url), SLOW_MS)))
    thread.start()
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%refresh_view%perf_chart%'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    until(lambda: bool(database.rows(waiting)))
    database.rows(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS refresh")
    thread.join()
    holder.rollback()
    holder.close()
    assert list(errors(done[0])) == ["perf_chart"]
    assert count(database, "perf_chart") == 0
    assert errors(refresh(database, SLOW_MS)) == {}
    [row] = database.rows("SELECT count(*) AS n, sum(hits + misses)::int AS requests FROM perf_chart")
    [logged] = database.rows("SELECT sum(cache_hits + cache_misses)::int AS n FROM cache_performance_log")
    assert row["requests"] == logged["n"]


def test_two_refreshes_at_once_are_both_right(database: LogDatabase, views_url: str) -> None:
    """Intent: a command while beat is at it waits and works; neither fails."""
    some(views_url)
    done: list[list[Refreshed]] = []
    threads = [threading.Thread(target=lambda: done.append(refresh(LogDatabase(views_url), 1.0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [errors(cycle) for cycle in done] == [{}] * 3
    assert sorted(cycle[0].rows or 0 for cycle in done) == [0, 0, 30]


def test_the_past_is_computed_anew_only_when_it_is_another(database: LogDatabase, views_url: str) -> None:
    """Intent: the cost of a refresh follows what is new; but a row that comes days late, a new name and the turn
    of the day bring the past up to date."""

    with database.transaction() as cursor:  # no day ends meanwhile
        cursor.execute("SELECT superset_ext.utc_today()")
        today = f"SELECT DATE '{cursor.fetchone()[0]}'"
        cursor.execute("CREATE OR REPLACE FUNCTION superset_ext.utc_today() RETURNS date LANGUAGE sql STABLE"
                       " PARALLEL SAFE AS %s", (today,))  # fmt: skip

    def old_hits() -> dict[str, int]:
        rows = database.rows("SELECT dashboard, hits FROM perf_dashboard WHERE day < superset_ext.utc_today() - 1")
        return {row["dashboard"]: row["hits"] for row in rows}

    def row(days: int) -> None:
        fixed = {"cache_type": "chart_data", "channel": "web", "dashboard_id": 5, "cache_hits": 10}
        write(views_url, [cache_row(random.Random(1), ago(days=days), **fixed)])

    row(4)
    refresh(database, SLOW_MS)
    assert old_hits() == {"#5": 10}
    with database.transaction() as cursor:  # what no roll-up has done shows whether the past is computed
        cursor.execute("UPDATE superset_ext.cache_daily SET hits = 11")
    row(0)
    refresh(database, SLOW_MS)
    assert old_hits() == {"#5": 10}
    refresh(database, SLOW_MS, lambda: [("dashboard", 5, "Sales")])
    assert old_hits() == {"Sales": 11}
    row(4)
    refresh(database, SLOW_MS)
    assert old_hits() == {"Sales": 21}
    with database.transaction() as cursor:
        cursor.execute("UPDATE superset_ext.cache_daily SET hits = 5 WHERE day < superset_ext.utc_today() - 1")
        cursor.execute("UPDATE superset_ext.view_refresh SET past_version = replace(past_version,"
                       " (superset_ext.utc_today())::text, (superset_ext.utc_today() - 1)::text)")  # fmt: skip
    refresh(database, SLOW_MS)
    assert old_hits() == {"Sales": 5}


def test_names_are_kept_in_step(database: LogDatabase) -> None:
    """Intent: renamed, new and deleted objects; a list that repeats one is no error."""
    kept = "SELECT kind, id, name FROM object_name ORDER BY kind, id"
    refresh(database, SLOW_MS, lambda: [("chart", 1, "a"), ("chart", 2, "b"), ("dataset", 1, "c"), ("chart", 1, "a")])
    refresh(database, SLOW_MS, lambda: [("chart", 2, "B"), ("dataset", 1, "c"), ("database", 9, "d")])
    assert [tuple(row.values()) for row in database.rows(kept)] == [
        ("chart", 2, "B"), ("database", 9, "d"), ("dataset", 1, "c"),
    ]  # fmt: skip
    refresh(database, SLOW_MS)
    assert len(database.rows(kept)) == 3


def test_a_file_that_changed_is_applied_again_alone(database: LogDatabase, views_url: str, tmp_path: Path) -> None:
    """Intent: a new version of the package brings its views along, once, however many processes start; the new
    one has its rows at once."""
    some(views_url, cache_type="chart_data", channel="web")
    refresh(database, SLOW_MS)
    there = count(database, "perf_chart")
    folder = tmp_path / "views"
    shutil.copytree(VIEWS, folder)
    assert apply_views(database, folder) == []
    path = folder / "04_chart.sql"
    path.write_text(path.read_text().replace("SELECT\n    day::timestamp", "SELECT\n    1 AS one, day::timestamp", 1))
    done: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: done.append(apply_views(LogDatabase(views_url), folder))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [[], [], [], ["perf_chart"]]
    assert database.rows("SELECT sum(one)::int AS n FROM perf_chart") == [{"n": there}]
    assert errors(refresh(database, SLOW_MS)) == {}


def test_a_file_that_cannot_be_applied_leaves_the_view(database: LogDatabase, tmp_path: Path) -> None:
    """Intent: somebody's own view on ours, or a slip in a file, stops with the file's name and nothing is lost."""
    with database.transaction() as cursor:
        cursor.execute("CREATE VIEW public.theirs AS SELECT day FROM superset_ext.perf_chart")
    folder = tmp_path / "views"
    shutil.copytree(VIEWS, folder)
    path = folder / "04_chart.sql"
    path.write_text(path.read_text() + "-- another version\n")
    with pytest.raises(SchemaError, match=r"views/04_chart\.sql .* depend"):
        apply_views(database, folder)
    assert errors(refresh(database, SLOW_MS)) == {}
    with pytest.raises(SchemaError, match="mount"):
        apply_views(database, SQL / "nowhere")


def test_a_worker_of_a_newer_version_refreshes_what_is_there(
    database: LogDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: before `superset perf upgrade`, a view over a new table is a line with the fix; the rest goes on."""
    with database.transaction() as cursor:
        cursor.execute("DROP TABLE superset_ext.recommendation CASCADE")
        cursor.execute("DROP MATERIALIZED VIEW superset_ext.perf_alert")
    make_missing(database)
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "views/14_advice.sql could not be applied" in line and "superset perf upgrade" in line and "\n" not in line
    assert {refreshed.view for refreshed in refresh(database, SLOW_MS)} >= {"rollups", "perf_chart", "perf_alert"}


def test_a_view_whose_file_has_changed_is_left_to_the_upgrade(database: LogDatabase, tmp_path: Path) -> None:
    """Intent: two versions that run side by side do not remake each other's views."""
    folder = tmp_path / "views"
    shutil.copytree(VIEWS, folder)
    for path in view_files(folder):
        path.write_text(path.read_text() + "-- another version\n")
    before = database.rows("SELECT * FROM superset_ext.view_version ORDER BY file")
    make_missing(database, folder)
    assert database.rows("SELECT * FROM superset_ext.view_version ORDER BY file") == before
