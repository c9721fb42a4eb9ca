"""The log of queries on a real log database: each query once, without its values, off the path."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.errors import LogUnavailable
from superset_ext.events import Queried, Scope, queried
from superset_ext.monitor.log import queries
from superset_ext.monitor.log.queries import MAX_SQL, QUEUE, QUEUE_CHARACTERS, QueryLog
from testing import superset_app

ROOT = Path(__file__).resolve().parents[2]
SCOPE = Scope(channel="report", dataset_id=3, database_id=2, chart_id=4, dashboard_id=5, user_id=6)
COUNT = "SELECT count(*)::int AS n FROM query_performance_log"


@pytest.fixture
def log(database: LogDatabase) -> Iterator[QueryLog]:
    made = QueryLog(database, lambda: None)
    made.start()
    yield made
    made.stop()


def tell(sql: str = "SELECT 1", ms: float = 1.0, **more: Any) -> None:
    values = {"source": "chart", "database_id": 2, "engine": "postgresql", "scope": SCOPE, "rows": 1} | more
    event = Queried(sql=sql, ms=ms, **({"ended": time.monotonic()} | values))
    queried.send(event.source, event=event)


def count(database: LogDatabase) -> int:
    return int(database.rows(COUNT)[0]["n"])


def test_a_row_says_all_that_was_told(log: QueryLog, database: LogDatabase) -> None:
    """Intent: duration, rows, dataset, chart, dashboard, user, channel and error have their columns."""
    tell(ms=12.5, rows=7)
    tell(ms=3.0, rows=None, error="UndefinedTable", scope=Scope(channel="celery"))
    log.flush()
    good, bad = database.rows("SELECT * FROM query_performance_log ORDER BY duration_ms DESC")
    assert (good["source"], good["channel"], good["database_id"], good["dataset_id"], good["chart_id"]) == (
        "chart", "report", 2, 3, 4,
    )  # fmt: skip
    assert (good["dashboard_id"], good["user_id"], good["duration_ms"], good["rows"], good["error"]) == (
        5, 6, 12.5, 7, None,
    )  # fmt: skip
    assert (bad["error"], bad["rows"], bad["chart_id"], bad["channel"]) == ("UndefinedTable", None, None, "celery")
    assert (good["pid"], good["transaction_id"] > 0) == (os.getpid(), True)


def test_no_value_reaches_the_log_database(log: QueryLog, database: LogDatabase) -> None:
    """Intent: SQL is kept without its values; queries that differ in them are one statement, of their database."""
    for value in ("hush", "hush hush"):
        tell(f"SELECT a FROM t WHERE secret = '{value}' AND n = 4711 -- hush")
    tell("SELECT a FROM t WHERE secret = 'hush' AND n = 4711", database_id=9)
    tell("SELECT 'hush", engine="nobodys")
    log.flush()
    kept = database.rows("SELECT fingerprint, database_id, sql FROM query_fingerprint ORDER BY sql, database_id")
    assert [(row["database_id"], row["sql"]) for row in kept] == [
        (2, "SELECT ?"), (2, "SELECT a FROM t WHERE secret = ? AND n = ?"),
        (9, "SELECT a FROM t WHERE secret = ? AND n = ?"),
    ]  # fmt: skip
    runs = database.rows("SELECT fingerprint, count(*)::int AS n FROM query_performance_log GROUP BY 1")
    assert sorted(row["n"] for row in runs) == [1, 1, 2]
    assert {row["fingerprint"] for row in runs} == {row["fingerprint"] for row in kept}


def test_the_time_is_the_end_by_the_databases_clock(log: QueryLog, database: LogDatabase) -> None:
    """Intent: what waited while the log was away keeps its time, and its day's partition is made."""
    tell(ended=time.monotonic() - 3 * 86_400)
    log.flush()
    [row] = database.rows(
        "SELECT now() - created_at AS age, tableoid::regclass::text AS day FROM query_performance_log"
    )
    assert row["age"].total_seconds() == pytest.approx(3 * 86_400, abs=600)
    assert re.search(r"query_performance_log_\d{8}$", row["day"])


def test_a_statement_is_seen_again_without_being_written_again(log: QueryLog, database: LogDatabase) -> None:
    """Intent: a dashboard that is open all day does not rewrite its statements with every flush."""
    seen = "SELECT xmin::text AS version, last_seen FROM query_fingerprint"
    tell()
    log.flush()
    [first] = database.rows(seen)
    tell()
    log.flush()
    assert database.rows(seen) == [first]
    with database.transaction() as cursor:
        cursor.execute("UPDATE superset_ext.query_fingerprint SET last_seen = now() - interval '2 hours'")
    tell()
    log.flush()
    [row] = database.rows("SELECT now() - last_seen < interval '1 minute' AS recent FROM query_fingerprint")
    assert row["recent"]


def test_what_no_column_takes_does_not_stop_the_log(log: QueryLog, database: LogDatabase) -> None:
    """Intent: ids come from browsers and SQL from people; one row that fits nowhere must not hold up all others."""
    tell("SELECT 'a\0b', \ud800 FROM t", scope=Scope(chart_id=2**40, user_id=-1), database_id=2**31)
    tell(error="E" * 500)
    log.flush()
    assert count(database) == 2


def test_memory_is_bounded_and_what_is_dropped_is_counted(
    log: QueryLog, database: LogDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: with the log database away, nothing is lost up to the bound, in queries and in bytes."""
    for _ in range(QUEUE + 5):
        tell("SELECT 1")
    assert (log.status().pending, log.status().dropped) == (QUEUE, 5)
    with caplog.at_level(logging.WARNING):
        log.flush()
    assert "5 queries are missing in query_performance_log" in caplog.text
    assert count(database) == QUEUE
    long = "SELECT a FROM t WHERE b = '" + "x" * MAX_SQL * 2 + "'"
    fit = QUEUE_CHARACTERS // MAX_SQL
    for _ in range(fit + 3):
        tell(long)
    assert (log.status().pending, log.status().dropped) == (fit, 5 + 3)
    log.flush()
    assert log.status().pending == 0
    assert count(database) == QUEUE + fit
    tell()
    assert log.status().pending == 1


def test_an_outage_loses_nothing_and_repeats_nothing(log: QueryLog, database: LogDatabase) -> None:
    """Intent: what could not be written goes once, after the tables are back."""
    tell()
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE superset_ext.query_fingerprint RENAME TO gone")
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            log.flush()
        tell()
    assert log.status().pending == 4
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE superset_ext.gone RENAME TO query_fingerprint")
    log.flush()
    assert (count(database), log.status().pending, log.status().dropped) == (4, 0, 0)


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_lost_during_the_commit_counts_once(
    log: QueryLog, database: LogDatabase, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """Intent: whether the server had committed when the connection broke, each query is there once."""
    tell()
    stock = queries._insert

    def breaks(cursor: Any, *rest: Any) -> None:
        stock(cursor, *rest)
        if committed:
            cursor.connection.commit()
        raise LogUnavailable("the connection broke")

    monkeypatch.setattr(queries, "_insert", breaks)
    with pytest.raises(LogUnavailable):
        log.flush()
    monkeypatch.setattr(queries, "_insert", stock)
    assert count(database) == committed
    log.flush()
    assert (count(database), log.status().pending) == (1, 0)


def test_a_transaction_that_still_runs_is_waited_for(log: QueryLog, database: LogDatabase) -> None:
    """Intent: a lost connection's transaction may end either way later; until then the batch is not written again."""
    tell()
    batch = log._next_batch()
    assert batch is not None
    with LogDatabase(database._url).transaction() as cursor:
        cursor.execute("SELECT CAST(pg_current_xact_id() AS text)")
        (batch.xid,) = cursor.fetchone()
        with pytest.raises(LogUnavailable, match="not ended"):
            log.flush()
        assert log.status().pending == 1
    log.flush()
    assert (count(database), log.status().pending) == (0, 0)  # that one was committed, and so its rows would be there


def test_a_number_of_another_servers_transaction_is_no_proof(log: QueryLog, database: LogDatabase) -> None:
    """Intent: after a failover to a server that is behind, what is not there is written."""
    tell()
    batch = log._next_batch()
    assert batch is not None
    batch.xid = str(2**40)
    log.flush()
    assert count(database) == 1


def test_rows_that_the_server_refuses_are_dropped_and_counted(
    log: QueryLog, database: LogDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: what can never be written does not hold up what comes after it."""
    tell(source="nobody")
    log.flush()
    tell()
    log.flush()
    assert (count(database), log.status().dropped) == (1, 1)


def test_a_log_without_tables_says_so_to_the_recorder(database_url: str) -> None:
    """Intent: the recorder makes the tables where an earlier version made the others; it knows by the SQL state."""
    log = QueryLog(LogDatabase(database_url), lambda: None)
    log.start()
    try:
        tell()
        with pytest.raises(LogUnavailable) as raised:
            log.flush()
    finally:
        log.stop()
    assert raised.value.sqlstate in ("3F000", "42P01", "42883")
    assert log.status().pending == 1


def test_eight_threads_lose_nothing_while_it_flushes(log: QueryLog, database: LogDatabase) -> None:
    """Intent: a query is in exactly one batch, whatever is flushed at that moment."""

    def work(number: int) -> None:
        for step in range(500):
            tell(f"SELECT c{step % 7} FROM t{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        log.flush()
    for thread in threads:
        thread.join()
    log.flush()
    assert count(database) == 8 * 500
    assert database.rows("SELECT count(*)::int AS n FROM query_fingerprint") == [{"n": 56}]


def test_two_processes_with_the_same_statements_do_not_lock_each_other_out(database: LogDatabase) -> None:
    """Intent: all processes upsert statements in one order, so that no flush dies of a deadlock."""
    failed: list[LogUnavailable] = []
    together = threading.Barrier(2)

    def work(numbers: range) -> None:
        log = QueryLog(LogDatabase(database._url), lambda: None)
        for turn in range(4):
            for number in numbers:
                sql = f"SELECT a{turn}, c{number} FROM t"
                log._hear("", Queried("chart", 2, "postgresql", sql, 1.0, time.monotonic(), SCOPE))
            together.wait()
            try:
                log.flush()
            except LogUnavailable as error:
                failed.append(error)

    threads = [threading.Thread(target=work, args=(numbers,)) for numbers in (range(1000), range(999, -1, -1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert count(database) == 2 * 4 * 1000


FORK = """
import os, sys, time
import superset.sql.parse  # which takes seconds, and which each of Superset's processes has done
from superset_ext.events import Scope
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.log import recorder
from superset_ext.monitor.log.queries import install
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import load
from superset_ext.events import Queried, queried

def ask(times):
    for _ in range(times):
        event = Queried("chart", 1, "postgresql", "SELECT 1", 1.0, time.monotonic(), Scope())
        queried.send("chart", event=event)

recorder.EXIT_SECONDS = recorder.FORK_SECONDS = 60.0
database = LogDatabase(os.environ["LOG"])
recorder = Recorder(database, load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"}))
log = install(database, recorder)
recorder.start()
ask(3)
for times in (10, 100):
    if os.fork() == 0:
        assert log.status().pending == 0
        ask(times)
        sys.exit()
for _ in range(2):
    assert os.wait()[1] == 0
ask(4)
"""


def ends(script: str, url: str) -> str:
    """Run a script to its end; what it had to say on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "LOG": url}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_each_process_of_a_fork_writes_its_own_queries(database: LogDatabase, log_url: str) -> None:
    """Intent: a child starts empty; neither loses or repeats the other's queries, and the process's end flushes."""
    assert "missing" not in ends(FORK, log_url)
    rows = database.rows("SELECT count(*)::int AS n FROM query_performance_log GROUP BY pid ORDER BY 1")
    assert [row["n"] for row in rows] == [7, 10, 100]


def test_an_end_while_the_log_is_away_says_what_is_lost() -> None:
    """Intent: queries that no process keeps any more are told, in one line without a secret."""
    output = ends(FORK.replace("(10, 100)", "()").replace("range(2)", "()"), "postgresql://u:hush@127.0.0.1:1/none")
    assert "7 queries are missing in query_performance_log, because the process ends" in output
    assert "hush" not in output


CHARTS = """
import time
from superset_ext.host import seams
from superset_ext.cache.query import running
from superset_ext.events import Scope
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.log import queries
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import load

assert seams.apply() == []
database = LogDatabase(os.environ["LOG"])
log = queries.install(database, Recorder(database, load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"})))

with running(Scope(channel="web", dataset_id=3, chart_id=4, dashboard_id=5, user_id=6)):
    source.get_df("SELECT generate_series(1, 7), pg_sleep(0.02), 'hush'")
    with running(Scope(channel="web", dataset_id=8, chart_id=9)):
        source.get_df("SELECT 1")
    try:
        source.get_df("SELECT a FROM nothere WHERE b = 'hush'")
    except Exception as error:
        raised = type(error).__name__
    else:
        raise AssertionError("a table that is not there was read")
source.get_df("SELECT 2", None, None, mutator=lambda df: df)
"""
SQLLAB = """
from superset import sql_lab
from superset.daos.query import QueryDAO
from superset.utils.dates import now_as_float

def asked(sql, **more):
    values = {"status": "pending", "start_time": now_as_float(), "limit": 100} | more
    query = Query(client_id=f"c{time.monotonic_ns() % 10**9}", database_id=source.id, sql=sql, **values)
    db.session.add(query)
    db.session.commit()
    return query

def run(sql, how=lambda *arguments: sql_lab.get_sql_results(*arguments)):
    query = asked(sql)
    how(query.id, sql)
    db.session.refresh(query)
    return query.status, query.error_message

took = []
took.append(run("CREATE TABLE orders AS SELECT 1 AS a; SELECT count(*) FROM generate_series(1, 500000), orders"))
took.append(run("SELECT a FROM orders", lambda *arguments: sql_lab.get_sql_results.apply(args=arguments)))
took.append(run("SELECT nothere FROM orders WHERE a = 4711"))
source.allow_dml = False
db.session.commit()
took.append(run("DROP TABLE orders"))                     # refused before it is sent
running = asked("SELECT 'hush'", status="running", executed_sql="SELECT 'hush' LIMIT 101")
running.set_extra_json_key("early_cancel_query", True)
db.session.commit()
QueryDAO.stop_query(running.client_id)
db.session.commit()
unheard = asked("SELECT 'not committed'", status="running", executed_sql="SELECT 1")
unheard.status, unheard.end_time = "success", now_as_float()
db.session.flush()
db.session.rollback()

log.flush()
rows = database.rows(
    "SELECT q.*, f.sql FROM query_performance_log q LEFT JOIN query_fingerprint f USING (fingerprint)"
    " ORDER BY q.created_at"
)
say({"rows": rows, "raised": raised, "took": took, "source": source.id})
"""


@pytest.fixture(scope="module")
def logged(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a real Superset logged of a few charts and a few queries of SQL Lab."""
    url = postgres.create_database(f"queries_{uuid.uuid4().hex[:8]}")
    LogDatabase(url).apply_schema()
    return superset_app.run(CHARTS + SQLLAB, url, url, tmp_path_factory.mktemp("superset"), LOG=url)


def test_what_charts_ask_is_logged_with_who_asked(logged: Any) -> None:
    """Intent: Superset's own `get_df` tells each query once: what it took, its rows, its error's class and its chart;
    a query that belongs to no chart too."""
    rows = {(row["chart_id"], row["error"]): row for row in logged["rows"] if row["source"] == "chart"}
    assert len(rows) == sum(row["source"] == "chart" for row in logged["rows"])
    slow, nested, failed, nobodys = (
        rows.pop(key) for key in ((4, None), (9, None), (4, logged["raised"]), (None, None))
    )
    assert not rows
    assert (slow["database_id"], slow["channel"]) == (logged["source"], "web")
    assert [slow[name] for name in ("dataset_id", "chart_id", "dashboard_id", "user_id")] == [3, 4, 5, 6]
    assert (slow["rows"], slow["error"]) == (7, None)
    assert 7 * 20 <= slow["duration_ms"] < 60_000
    assert slow["sql"] == "SELECT generate_series(?), pg_sleep(?), ?"
    assert (nested["dataset_id"], nested["chart_id"], nested["dashboard_id"]) == (8, 9, None)
    assert (failed["error"], failed["rows"], failed["chart_id"]) == (logged["raised"], None, 4)
    assert failed["sql"] == "SELECT a FROM nothere WHERE b = ?"
    assert (nobodys["chart_id"], nobodys["channel"], nobodys["rows"]) == (None, "cli", 1)


def test_what_sql_lab_asks_is_logged_at_its_end(logged: Any) -> None:
    """Intent: SQL Lab's queries are told once, when they end, in web and in Celery, by Superset's class of the error;
    what never was sent, or was rolled back, is not."""
    assert [status for status, _ in logged["took"]] == ["success", "success", "failed", "failed"], logged["took"]
    rows = {(row["error"], row["channel"]): row for row in logged["rows"] if row["source"] == "sqllab"}
    assert len(rows) == sum(row["source"] == "sqllab" for row in logged["rows"]) == 4
    script, worker = rows[None, "web"], rows[None, "celery"]
    failed = rows["COLUMN_DOES_NOT_EXIST_ERROR", "web"]
    assert ("STOPPED", "web") in rows
    assert script["sql"] == "CREATE TABLE orders AS SELECT ? AS a; SELECT count(*) FROM generate_series(?), orders"
    assert (script["rows"], script["error"], script["channel"]) == (1, None, "web")
    assert 20 <= script["duration_ms"] < 60_000
    assert (worker["sql"], worker["channel"]) == ("SELECT a FROM orders", "celery")
    assert failed["rows"] is None
