"""Rolling up the logs: every row counts, and counts once, whatever happens meanwhile."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superset_ext.core.log_database import SQL, LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.monitor.log.histogram import SMALLEST_MS, bucket
from superset_ext.monitor.report import statistics
from superset_ext.monitor.rollup.logs import RolledUp, roll_up
from superset_ext.monitor.rollup.views import refresh
from testing.rollups import (
    SLOW_MS,
    Row,
    ago,
    cache_row,
    insert,
    made,
    query_rollups_equal,
    query_row,
    rollups_equal,
    write,
)

FILES = sorted(path.name for path in (SQL / "schema").glob("*.sql"))
PATIENCE = 120.0  # seconds; a test that waits longer has failed
WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%roll_up(%'"
    " AND datname = current_database()"
)


@pytest.fixture
def database(views_url: str) -> LogDatabase:
    return made(LogDatabase(views_url), range(6))


def rows_of(seed: int, count: int, hours: float = 100) -> list[Row]:
    rng = random.Random(seed)
    return [cache_row(rng, ago(hours=rng.uniform(0, hours))) for _ in range(count)]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


def test_rollups_are_what_the_rows_make(database: LogDatabase, views_url: str) -> None:
    """Intent: each measure, histogram and key of all four rollups, over several roll-ups that meet the same hours."""
    cache, queries, rng = rows_of(1, 300), [], random.Random(2)
    for n in range(3):
        part = [query_row(rng, ago(hours=rng.uniform(0, 100))) for _ in range(60)]
        write(views_url, cache[n * 100 : n * 100 + 100])
        write(views_url, part, "query_performance_log")
        queries += part
        assert roll_up(database, SLOW_MS) == RolledUp(100, 60)
    rollups_equal(database, cache)
    query_rollups_equal(database, queries)


def test_a_second_roll_up_counts_nothing_again(database: LogDatabase, views_url: str) -> None:
    """Intent: beat, a command and a test may roll up as often as they like, and at the same time."""
    rows = rows_of(3, 80)
    write(views_url, rows)
    done: list[RolledUp] = []
    threads = [threading.Thread(target=lambda: done.append(roll_up(LogDatabase(views_url), 1.0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts.cache for counts in done) == [0, 0, 0, 80]
    assert roll_up(database, SLOW_MS) == RolledUp(0, 0)
    rollups_equal(database, rows)
    [state] = database.rows("SELECT rows, rolled_up_at IS NOT NULL AS at FROM rollup_state WHERE log = 'cache'")
    assert state == {"rows": 80, "at": True}


def test_an_open_transaction_keeps_only_its_own_rows_back(database: LogDatabase, views_url: str) -> None:
    """Intent: rows of a transaction that was open during a roll-up are counted once it has ended; others' rows,
    written before and after it began, do not wait for that."""
    early, slow, late = rows_of(4, 10), rows_of(5, 10), rows_of(6, 10)
    open_one = psycopg2.connect(views_url)
    write(views_url, early)
    insert(open_one.cursor(), slow)
    write(views_url, late)
    assert roll_up(database, SLOW_MS).cache == 20
    rollups_equal(database, early + late)
    assert roll_up(database, SLOW_MS).cache == 0
    open_one.commit()
    open_one.close()
    assert roll_up(database, SLOW_MS).cache == 10
    rollups_equal(database, early + slow + late)


def test_a_transaction_that_ends_during_a_roll_up_counts_once(database: LogDatabase, views_url: str) -> None:
    """Intent: a roll-up that notes which transactions are open, and then waits while one of them commits, sees its
    rows; they belong to the next roll-up, which would count them a second time."""
    rows, done = rows_of(15, 10), []
    open_one, holder = psycopg2.connect(views_url), psycopg2.connect(views_url)
    insert(open_one.cursor(), rows)
    holder.cursor().execute("LOCK TABLE superset_ext.cache_minute IN SHARE MODE")
    thread = threading.Thread(target=lambda: done.append(roll_up(LogDatabase(views_url), SLOW_MS).cache))
    thread.start()
    until(lambda: bool(database.rows(WAITING)))
    open_one.commit()
    open_one.close()
    holder.close()
    thread.join()
    assert (done, roll_up(database, SLOW_MS).cache) == ([0], 10)
    rollups_equal(database, rows)


def test_rows_that_come_two_hours_late_are_counted(database: LogDatabase, views_url: str) -> None:
    """Intent: a host whose log database was away writes what it counted under the time when it was."""
    rng = random.Random(7)
    now = [cache_row(rng, ago(minutes=1), cache_type="chart_data") for _ in range(20)]
    write(views_url, now)
    roll_up(database, SLOW_MS)
    late = [cache_row(rng, ago(hours=2), cache_type="chart_data") for _ in range(20)]
    old = [cache_row(rng, ago(days=4), cache_type="chart_data") for _ in range(5)]
    write(views_url, late + old)
    assert roll_up(database, SLOW_MS).cache == 25
    rollups_equal(database, now + late + old)


def test_eight_writers_and_one_that_rolls_up(database: LogDatabase, views_url: str) -> None:
    """Intent: whatever the order in which transactions begin, commit, roll back and are rolled up, each row that
    was committed is counted once."""
    kept: list[Row] = []
    counts = [0]
    writing, threads = threading.Lock(), []

    def met() -> int:
        """How many roll-ups had rows."""
        return sum(n > 0 for n in counts)

    def work(seed: int) -> None:
        rng, connection = random.Random(seed), psycopg2.connect(views_url)
        for n in range(25):
            until(lambda: met() >= n // 6)  # noqa: B023  (it is called at once)
            rows = [cache_row(rng, ago(hours=rng.choice([0, 2, 50]))) for _ in range(rng.randrange(1, 5))]
            cursor = connection.cursor()
            for row in rows:  # one by one, so that roll-ups come in between
                insert(cursor, [row])
            if n % 5 == 4:
                connection.rollback()
                continue
            connection.commit()
            with writing:
                kept.extend(rows)
        connection.close()

    for seed in range(8):
        threads.append(threading.Thread(target=work, args=(seed,)))
        threads[-1].start()
    while any(thread.is_alive() for thread in threads):
        counts.append(roll_up(database, SLOW_MS).cache)
    for thread in threads:
        thread.join()
    counts.append(roll_up(database, SLOW_MS).cache)
    assert met() > 3, "the roll-ups were to meet the writers"
    assert sum(counts) == len(kept)
    rollups_equal(database, kept)


def test_a_killed_roll_up_leaves_nothing_and_the_next_is_right(database: LogDatabase, views_url: str) -> None:
    """Intent: a worker that dies half-way, here between the hourly and the daily rollup, costs nothing."""
    rows = rows_of(8, 50)
    write(views_url, rows)
    holder, failed = psycopg2.connect(views_url), []
    holder.cursor().execute("LOCK TABLE superset_ext.cache_daily IN SHARE MODE")

    def run() -> None:
        try:
            roll_up(LogDatabase(views_url), SLOW_MS)
        except LogUnavailable as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: bool(database.rows(WAITING)))
    database.rows(f"SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS roll_up")
    thread.join()
    holder.close()
    assert len(failed) == 1
    rollups_equal(database, [])
    assert roll_up(database, SLOW_MS).cache == 50
    rollups_equal(database, rows)


def test_a_dump_on_another_server_goes_on(database: LogDatabase, views_url: str) -> None:
    """Intent: a restored log brings the transaction numbers of its old server, which mean nothing on the new one:
    neither are its rows counted twice, nor do new rows wait until the numbers have caught up."""
    old, waiting, new = rows_of(9, 40), rows_of(10, 10), rows_of(11, 10)
    write(views_url, old)
    roll_up(database, SLOW_MS)
    write(views_url, waiting)
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE superset_ext.rollup_state SET cluster = '1', next_transaction = next_transaction + 1000000000"
        )
        cursor.execute("UPDATE superset_ext.cache_performance_log SET transaction_id = transaction_id + 1000000000")
        cursor.execute(
            "INSERT INTO superset_ext.cache_daily (day, cache_type, hits)"
            " VALUES (superset_ext.utc_today() - 99, 'm', 5)"
        )
    write(views_url, new)
    roll_up(database, SLOW_MS)
    roll_up(database, SLOW_MS)
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM superset_ext.cache_daily WHERE day < superset_ext.utc_today() - 50")
        assert cursor.rowcount == 1, "days that the log no longer has stay as they are"
    rollups_equal(database, old + waiting + new)
    write(views_url, rows := rows_of(12, 10))
    assert roll_up(database, SLOW_MS).cache == 10
    rollups_equal(database, old + waiting + new + rows)


def test_rows_from_before_the_rollups_are_counted(database_url: str, tmp_path: Path) -> None:
    """Intent: a log that was written before there were rollups is not lost to the dashboards."""
    before = tmp_path / "sql"
    shutil.copytree(SQL, before)
    for path in sorted((before / "schema").glob("*.sql"))[FILES.index("07_rollup_tables.sql") :]:
        path.unlink()
    LogDatabase(database_url, before).apply_schema()
    rows = rows_of(13, 30, hours=0.0)
    write(database_url, rows)
    database = LogDatabase(database_url)
    database.apply_schema()
    assert roll_up(database, SLOW_MS).cache == 30
    rollups_equal(database, rows)


def test_a_new_reason_of_misses_is_one_line(database: LogDatabase, views_url: str, tmp_path: Path) -> None:
    """Intent: whoever adds a reason writes one line of SQL; rollups, views, totals and statistics follow, what was
    logged and rolled up before counts as none, and no row of the log is rewritten."""
    old, now = rows_of(16, 30, hours=1), ago(minutes=2)
    write(views_url, old)
    roll_up(database, SLOW_MS)
    filenode = "SELECT pg_relation_filenode(relid) AS node FROM pg_partition_tree('cache_performance_log') WHERE isleaf"
    nodes = database.rows(filenode)

    shutil.copytree(SQL, tmp_path / "sql")
    line = "SELECT superset_ext.add_miss_reason('moved', 'the table has moved.');\n"
    (tmp_path / "sql" / "schema" / "99_moved.sql").write_text(line)
    assert LogDatabase(views_url, tmp_path / "sql").apply_schema() == ["99_moved.sql"]
    assert database.rows(filenode) == nodes

    new = cache_row(random.Random(17), now, cache_type="chart_data", channel="web", dashboard_id=5, miss_moved=7)
    write(views_url, [new])
    assert [refreshed.error for refreshed in refresh(database, SLOW_MS) if refreshed.error] == []
    for rollup in ("cache_hourly", "cache_daily"):
        assert database.rows(f"SELECT sum(miss_moved)::int AS n, min(miss_moved) AS least FROM {rollup}") == [
            {"n": 7, "least": 0}
        ]
    assert database.rows("SELECT sum(misses)::int AS n FROM perf_miss_reason WHERE reason = 'moved'") == [{"n": 7}]
    totals = {(row["subject"], row["measure"]): row["total"] for row in database.rows("SELECT * FROM totals('cache')")}
    assert totals["chart_data", "miss_moved"] == 7
    assert totals["chart_data", "miss_cold"] == sum(
        row["miss_cold"] for row in [*old, new] if row["cache_type"] == "chart_data"
    )
    [charts] = [row for row in statistics(database) if row["cache_type"] == "chart_data"]
    assert charts["miss_moved"] == 7
    comments = "SELECT col_description(%s::regclass, attnum) AS text FROM pg_attribute WHERE attrelid = %s::regclass"
    for table in ("cache_performance_log", "cache_hourly", "cache_daily"):
        [row] = database.rows(f"{comments} AND attname = 'miss_moved'", (table, table))
        assert row["text"] == "Misses: the table has moved."


Step = st.sampled_from(["write", "open", "close", "abandon", "roll up"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(Step, min_size=4, max_size=20), seed=st.integers(0, 2**32))
def test_any_order_of_events_counts_each_row_once(database: LogDatabase, views_url: str, steps: Any, seed: int) -> None:
    """Intent: no interleaving of transactions and roll-ups loses or doubles a row."""
    with database.transaction(PATIENCE) as cursor:  # the server may yet have to hear that connections were closed
        cursor.execute(
            "TRUNCATE superset_ext.cache_performance_log, superset_ext.cache_hourly, superset_ext.cache_daily"
        )
    rng, kept, open_ones = random.Random(seed), [], []
    for step in steps:
        rows = [cache_row(rng, ago(hours=rng.uniform(0, 60)))]
        if step == "write":
            write(views_url, rows)
            kept += rows
        elif step == "open":
            open_ones.append((psycopg2.connect(views_url), rows))
            insert(open_ones[-1][0].cursor(), rows)
        elif step == "roll up":
            roll_up(database, SLOW_MS)
            rollups_equal(database, kept)
        elif open_ones:
            connection, own = open_ones.pop(rng.randrange(len(open_ones)))
            if step == "close":
                connection.commit()
                kept += own
            connection.close()
    for connection, _ in open_ones:
        connection.close()
    roll_up(database, SLOW_MS)
    rollups_equal(database, kept)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.floats(0, 1e12) | st.sampled_from([0.0, SMALLEST_MS, 1.0]), min_size=1, max_size=50))
def test_sql_puts_times_into_the_recorders_buckets(database: LogDatabase, times: list[float]) -> None:
    """Intent: histograms that SQL fills can be added to those of the recorder; at a bucket's very edge the last
    digit of a logarithm may decide."""
    rows = database.rows("SELECT histogram_of(ms) AS h FROM unnest(%s::float8[]) AS ms", (times,))
    for ms, row in zip(times, rows, strict=True):
        near = {bucket(ms), bucket(ms * (1 - 1e-12)), bucket(ms * (1 + 1e-12))}
        assert row["h"][1] == 1
        assert row["h"][0] in near


def test_a_minute_of_charts_leaves_warming_aside(database: LogDatabase, views_url: str) -> None:
    """Intent: what a change did is read by the minute, of people's charts alone."""
    at = ago(minutes=3).replace(second=1)
    rng = random.Random(14)
    rows = [cache_row(rng, at + timedelta(seconds=n), dataset_id=1) for n in range(50)]
    for part in (rows[:20], rows[20:]):  # the second is added to what the first came to
        write(views_url, part)
        roll_up(database, SLOW_MS)
    counted = [row for row in rows if row["cache_type"] == "chart_data" and row["channel"] != "warm"]
    [row] = database.rows("SELECT * FROM cache_minute")
    assert row.pop("response_ms_sum") == pytest.approx(sum(row["response_ms_sum"] for row in counted))
    assert row == {
        "minute": at.replace(second=0, microsecond=0),
        "dataset_id": 1,
        "hits": sum(row["cache_hits"] for row in counted),
        "misses": sum(row["cache_misses"] for row in counted),
        "response_count": sum(row["response_count"] for row in counted),
    }
