"""The recorder over threads, forks and the ends of processes: totals are exact."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Miss, Outcome, Scope, outcome
from superset_ext.monitor.log import recorder as recorder_module
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import load
from testing.log import PATIENCE
from testing.warming import until

ROOT = Path(__file__).resolve().parents[2]
START = """
import os, sys, threading
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.log import recorder
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import load
from superset_ext.events import Outcome, outcome

recorder.EXIT_SECONDS = recorder.FORK_SECONDS = 60.0

def hit(times):
    for _ in range(times):
        outcome.send("chart_data", event=Outcome("chart_data", None, 1.0))

recorder = Recorder(LogDatabase(os.environ["LOG"]), load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": sys.argv[1]}))
recorder.start()
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to write what is left at the end than a process that ends has time for."""
    monkeypatch.setattr(recorder_module, "EXIT_SECONDS", PATIENCE)


def ends(script: str, url: str, flush_seconds: float = 3600) -> str:
    """Run a script that begins with a started recorder to its end; what it had to say on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", START + script, str(flush_seconds)],
        cwd=ROOT, env={**os.environ, "LOG": url}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def by_process(database: LogDatabase) -> list[int]:
    """Hits of each process that wrote any, the fewest first."""
    rows = database.rows("SELECT SUM(cache_hits)::int AS n FROM cache_performance_log GROUP BY pid ORDER BY 1")
    return [row["n"] for row in rows]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns all the time, so that what needs a lock and has none goes wrong."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_eight_threads_lose_nothing_while_it_flushes(database: LogDatabase, hasty_threads: None) -> None:
    """Intent: a count is in exactly one batch, whatever is flushed at that moment."""
    recorder = Recorder(database, load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "0.01"}))
    recorder.start()

    def work(chart: int) -> None:
        for n in range(3_000):
            if n == 1_500:
                until(lambda: recorder.status().last_flush)  # so that there are two at least
            result = None if n % 3 else Miss.COLD
            event = Outcome("chart_data", result, 1.0, size=10, saved_ms=2.0, scope=Scope(chart_id=chart % 3 + 1))
            outcome.send("chart_data", event=event)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.stop()
    [row] = database.rows(
        "SELECT SUM(cache_hits)::int AS hits, SUM(cache_misses)::int AS misses, SUM(bytes_read)::int AS bytes,"
        " SUM(saved_ms) AS saved, COUNT(DISTINCT batch) > 1 AS several FROM cache_performance_log"
    )
    assert row == {"hits": 16_000, "misses": 8_000, "bytes": 240_000, "saved": 32_000.0, "several": True}


def test_each_process_of_a_fork_writes_its_own_counts(database: LogDatabase, log_url: str) -> None:
    """Intent: a child starts empty and with a thread of its own; neither loses or repeats the other's counts."""
    ends(
        """
hit(1)
recorder.flush()                       # the parent holds a connection that no child may use
hit(6)
for times in (10, 100, 1000):
    if os.fork() == 0:
        assert recorder.status().pending == 0
        hit(times)
        sys.exit()                     # as gunicorn's workers end
for _ in range(3):
    assert os.wait()[1] == 0
hit(20)
""",
        log_url,
    )
    assert by_process(database) == [10, 27, 100, 1000]


def test_a_fork_in_the_middle_of_counting_and_flushing_hangs_nothing(database: LogDatabase, log_url: str) -> None:
    """Intent: `fork` copies locks that other threads hold; a child must not wait for threads it does not have."""
    ends(
        """
done = threading.Event()
def count():
    while not done.is_set():
        hit(50)
threads = [threading.Thread(target=count, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(25):
    if os.fork() == 0:
        done.set()
        hit(7)
        recorder.finish()
        os._exit(recorder.status().pending)
    assert os.wait()[1] == 0
done.set()
for thread in threads:
    thread.join()
""",
        log_url,
        flush_seconds=0.001,
    )
    assert by_process(database)[:25] == [7] * 25


@pytest.mark.parametrize("sent", ["worker_process_shutdown", "worker_shutdown"])
def test_a_celery_process_flushes_when_it_is_told_to_end(database: LogDatabase, log_url: str, sent: str) -> None:
    """Intent: Celery's prefork children end by `os._exit`, without atexit."""
    ends(
        f"""
from celery import signals
if os.fork() == 0:
    hit(3)
    signals.{sent}.send(sender=None, pid=os.getpid(), exitcode=0)
    os._exit(0)
assert os.wait()[1] == 0
""",
        log_url,
    )
    assert by_process(database) == [3]


def test_counts_after_the_end_was_told_are_written_too(database: LogDatabase, log_url: str) -> None:
    """Intent: a task that still runs while its worker shuts down is counted."""
    ends("hit(2)\nrecorder.finish()\nhit(5)\n", log_url)
    assert by_process(database) == [7]


def test_an_end_while_the_log_is_away_says_what_is_lost() -> None:
    """Intent: counts that no process keeps any more are told, in one line, and the process ends in time."""
    output = ends("hit(2)\n", "postgresql://u:hush@127.0.0.1:1/none")
    assert "1 rows of the log were lost" in output
    assert "hush" not in output
