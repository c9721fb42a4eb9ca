"""The recorder in a real prefork worker of Celery, and beside others at the same database."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Miss, Outcome, outcome
from superset_ext.monitor.log import recorder as recorder_module
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import load
from testing.log import PATIENCE
from testing.warming import until

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import os
from celery import Celery
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.log import recorder
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import load
from superset_ext.events import Outcome, outcome

recorder.EXIT_SECONDS = 60.0
app = Celery("worker", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
Recorder(LogDatabase(os.environ["DATABASE"]), load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"})).start()

@app.task(name="count")
def count():
    outcome.send("chart_data", event=Outcome("chart_data", None, 1.0))
    return os.getpid()
"""
WAITS = (
    "SELECT 1 FROM pg_locks WHERE NOT granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
TOTALS = "SELECT SUM(cache_hits)::int AS hits, SUM(cache_misses)::int AS misses FROM cache_performance_log"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to write what is left at the end than a process that ends has time for."""
    monkeypatch.setattr(recorder_module, "EXIT_SECONDS", PATIENCE)


def test_a_prefork_worker_writes_when_it_stops(
    database: LogDatabase, log_url: str, valkey: Valkey, tmp_path: Path
) -> None:
    """Intent: the children of a worker that is told to end write what they counted since the last flush."""
    from celery import Celery

    (tmp_path / "counting.py").write_text(WORKER)
    broker = f"redis://127.0.0.1:{valkey.port}/9"
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "counting", "worker", "-P", "prefork", "-c", "2", "-l", "ERROR"],
        env={**os.environ, "PYTHONPATH": path, "BROKER": broker, "DATABASE": log_url},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        client = Celery(broker=broker, backend=broker)
        asked = [client.send_task("count") for _ in range(10)]  # kept: one that is collected may lock up redis-py
        pids = {task.get(timeout=240) for task in asked}
        for task in asked:
            task.backend = None  # to which one that is collected would speak, for minutes if it is gone by then
    finally:
        worker.terminate()
        worker.wait(120)
    assert worker.pid not in pids
    assert database.rows(TOTALS) == [{"hits": 10, "misses": 0}]


def test_counting_does_not_wait_for_a_flush(database: LogDatabase, log_url: str) -> None:
    """Intent: while the log's table is locked and a flush hangs on it, requests count on, and nothing is lost."""
    recorder = Recorder(database, load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"}))
    recorder.start()
    blocker = psycopg2.connect(log_url)
    blocker.cursor().execute("LOCK TABLE superset_ext.cache_performance_log IN ACCESS EXCLUSIVE MODE")
    outcome.send("chart_data", event=Outcome("chart_data", None, 1.0))
    flushing = threading.Thread(target=recorder.flush)
    flushing.start()
    until(lambda: database.rows(WAITS))
    for _ in range(100):
        outcome.send("chart_data", event=Outcome("chart_data", Miss.COLD, 1.0))
    assert flushing.is_alive()
    blocker.rollback()
    flushing.join()
    recorder.stop()
    assert database.rows(TOTALS) == [{"hits": 1, "misses": 100}]


def test_one_process_samples_at_a_time(database: LogDatabase, log_url: str) -> None:
    """Intent: an older count of evictions must not be stored over a newer one; who finds another process at it
    writes its counts without a sample, and does not wait."""
    settings = load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"})
    recorder = Recorder(database, settings, lambda: {"chart_data": (1, 1)})
    recorder.start()
    with closing(psycopg2.connect(log_url)) as other:
        other.cursor().execute("SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.sample', 0))")
        outcome.send("chart_data", event=Outcome("chart_data", None, 1.0))
        assert recorder.flush()
        other.rollback()  # a server hears of a closed connection when it gets to it
    outcome.send("chart_data", event=Outcome("chart_data", None, 1.0))
    recorder.stop()
    rows = database.rows("SELECT memory_usage FROM cache_performance_log ORDER BY created_at")
    assert [row["memory_usage"] for row in rows] == [None, 1]
