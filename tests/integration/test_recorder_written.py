"""The recorder on a real log database: what is counted is what is written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.events import Miss, Outcome, Scope, Stored, outcome
from superset_ext.monitor.log import recorder as recorder_module
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.settings import load
from testing.log import PATIENCE

TOTALS = (
    "SELECT SUM(cache_hits)::int AS hits, SUM(cache_misses)::int AS misses, COUNT(*)::int AS rows"
    " FROM cache_performance_log"
)
Maker = Callable[..., Recorder]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to write what is left at the end than a process that ends has time for."""
    monkeypatch.setattr(recorder_module, "EXIT_SECONDS", PATIENCE)


@pytest.fixture
def database(database_url: str) -> LogDatabase:
    return LogDatabase(database_url)


@pytest.fixture
def recorder(database: LogDatabase) -> Iterator[Maker]:
    """A maker of started recorders that flush when told to, unless settings say otherwise."""
    made: list[Recorder] = []

    def make(sampler: Any = None, **knobs: str) -> Recorder:
        environ = {"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"}
        environ |= {f"SUPERSET_EXT_{name.upper()}": value for name, value in knobs.items()}
        made.append(Recorder(database, load(environ), sampler=sampler))
        made[-1].start()
        return made[-1]

    yield make
    for writer in made:
        writer.stop()


def tell(result: Miss | Stored | None, ms: float = 1.0, region: str = "chart_data", **values: Any) -> None:
    outcome.send(region, event=Outcome(region, result, ms, **values))


def test_the_first_flush_makes_the_tables(recorder: Maker, database: LogDatabase) -> None:
    """Intent: a fresh log database needs no command before it is written to."""
    writer = recorder()
    tell(None)
    assert writer.flush()
    assert database.rows(TOTALS) == [{"hits": 1, "misses": 0, "rows": 1}]


def test_a_row_says_all_that_was_told(recorder: Maker, database: LogDatabase) -> None:
    """Intent: each outcome has its column, and the mean is over hits and the misses that ended in a value."""
    writer = recorder()
    scope = Scope(dataset_id=3, chart_id=4, dashboard_id=5, channel="report")
    tell(None, 2.0, size=100, saved_ms=500.0, scope=scope)
    tell(None, 4.0, size=100, saved_ms=300.0, scope=scope)
    for reason in Miss:
        tell(reason, 0.5, scope=scope)
    for became in Stored:
        tell(became, 0.0, size=70, scope=scope)
    tell(Stored.STORED, 900.0, size=70, scope=scope)
    assert writer.flush()
    [row] = database.rows("SELECT * FROM cache_performance_log")
    assert (row["cache_type"], row["dataset_id"], row["chart_id"], row["dashboard_id"], row["channel"]) == (
        "chart_data", 3, 4, 5, "report",
    )  # fmt: skip
    assert (row["cache_hits"], row["cache_misses"]) == (2, len(Miss))
    assert {row[f"miss_{reason}"] for reason in Miss} == {1}
    assert (row["sets"], row["sets_too_large"], row["sets_refused"], row["sets_memory"]) == (2, 1, 1, 1)
    assert row["errors"] == 2  # a read and a write
    assert (row["bytes_read"], row["bytes_written"], row["saved_ms"]) == (200, 140, 800.0)
    assert row["response_time"] == pytest.approx((2 + 4 + 900) / 3)
    assert row["hit_ratio"] == pytest.approx(2 / (2 + len(Miss)))
    [times] = database.rows(
        "SELECT histogram_quantile(hit_histogram, 1) AS hit, histogram_quantile(miss_histogram, 1) AS miss"
        " FROM cache_performance_log"
    )
    assert times["hit"] == pytest.approx(4, rel=0.05)
    assert times["miss"] == pytest.approx(900, rel=0.05)


def test_an_id_that_no_table_can_hold_does_not_stop_the_log(recorder: Maker, database: LogDatabase) -> None:
    """Intent: ids come from what browsers send; a made-up one costs its id, not the counts of everybody."""
    writer = recorder()
    for chart in (2**31, -(2**40), 2**80):
        tell(None, scope=Scope(dataset_id=1, chart_id=chart))
    assert writer.flush()
    assert database.rows("SELECT DISTINCT dataset_id, chart_id FROM cache_performance_log") == [
        {"dataset_id": 1, "chart_id": None}
    ]
    assert database.rows(TOTALS)[0]["hits"] == 3


def test_memory_is_bounded_and_totals_stay_exact(recorder: Maker, database: LogDatabase) -> None:
    """Intent: a crawler over a hundred thousand charts costs detail, neither memory nor counts."""
    writer = recorder(recorder_max_rows="100")
    for chart in range(1, 5001):
        tell(None, scope=Scope(chart_id=chart))
        tell(Miss.COLD, region="metadata", scope=Scope(chart_id=chart))
    status = writer.status()
    assert status.pending <= 102
    assert status.overflows == 10_000 - 100
    assert writer.flush()
    assert database.rows(TOTALS) == [{"hits": 5000, "misses": 5000, "rows": 102}]
    folded = database.rows("SELECT cache_type FROM cache_performance_log WHERE chart_id IS NULL ORDER BY 1")
    assert [row["cache_type"] for row in folded] == ["chart_data", "metadata"]


def test_nothing_told_writes_nothing(recorder: Maker, database: LogDatabase) -> None:
    """Intent: an idle process costs the log no row and no connection."""
    writer = recorder()
    assert writer.flush()
    assert writer.status().last_flush is None


def test_stopped_means_not_counted(recorder: Maker, database: LogDatabase) -> None:
    """Intent: `stop` writes what is there and takes no more."""
    writer = recorder()
    tell(None)
    writer.stop()
    tell(None)
    assert writer.status().pending == 0
    assert database.rows(TOTALS)[0]["hits"] == 1


def test_the_thread_flushes_by_itself(recorder: Maker, database: LogDatabase) -> None:
    """Intent: nobody needs to call `flush`, and the thread that does never keeps a process alive."""
    flushing = threading.Event()
    writer = recorder(lambda: flushing.set() or {}, recorder_flush_seconds="0.05")
    tell(None)
    thread = writer._thread
    assert thread is not None and thread.daemon
    assert flushing.wait(PATIENCE)
    writer.stop()
    assert not thread.is_alive()
    assert database.rows(TOTALS)[0]["hits"] == 1


def test_memory_is_on_each_row_and_evictions_add_up(recorder: Maker, database: LogDatabase) -> None:
    """Intent: the peak of memory is a peak; a region's evictions are the difference to the last count, over all
    processes together, and begin anew with the server."""
    counts = iter([(10, 100), (30, 105), (20, 105), (20, 2)])
    one, other = (recorder(lambda: {"chart_data": next(counts), "thumbnails": (1, 1)}) for _ in range(2))
    for writer in (one, other, one, other):
        for chart in (1, 2):  # both recorders hear it: four rows a flush of two
            tell(None, scope=Scope(chart_id=chart))
        assert writer.flush()
    [row] = database.rows(
        "SELECT MAX(memory_usage) AS peak, SUM(evictions)::int AS evictions, COUNT(memory_usage)::int AS rows,"
        " COUNT(DISTINCT cache_type)::int AS types FROM cache_performance_log"
    )
    assert row == {"peak": 30, "evictions": 5 + 0 + 2, "rows": 8, "types": 1}


def test_regions_of_one_server_tell_an_eviction_once(recorder: Maker, database: LogDatabase) -> None:
    """Intent: SUM(evictions) is what the servers evicted, however many regions share one; a region with a server of
    its own has its own count."""
    evicted = {"chart_data": (1, 10), "metadata": (1, 10), "thumbnails": (1, 500)}
    writer = recorder(
        lambda: evicted,
        redis_url="redis://:secret@cache:6379",
        thumbnails_url="redis://:secret@other:6379/0",
    )
    for grown in (0, 7):
        evicted = {region: (memory, count + grown) for region, (memory, count) in evicted.items()}
        for region in evicted:
            tell(None, region=region)
        assert writer.flush()
    assert database.rows("SELECT SUM(evictions)::int AS n FROM cache_performance_log") == [{"n": 7 + 7}]
    servers = database.rows("SELECT server, evicted_keys FROM cache_server_counter ORDER BY server")
    assert [tuple(row.values()) for row in servers] == [("cache:6379", 17), ("other:6379", 507)]


def test_a_sampler_that_raises_does_not_stop_the_log(recorder: Maker, database: LogDatabase) -> None:
    """Intent: Redis's trouble is not the log's."""

    def sampler() -> Any:
        raise RuntimeError("gone")

    writer = recorder(sampler)
    tell(None)
    assert writer.flush()
    assert database.rows("SELECT memory_usage, evictions FROM cache_performance_log") == [
        {"memory_usage": None, "evictions": 0}
    ]


def test_a_log_that_may_not_be_made_warns_once_with_the_fix(
    recorder: Maker, database: LogDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: a role without the right to make a schema reads what to grant; charts go on, counts are kept."""
    with database.transaction() as cursor:
        cursor.execute("SELECT current_database()")
        name = cursor.fetchone()[0]
        role = f"reader_{name}"
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    url = database.engine.url.set(username=role, password="x")
    own = LogDatabase(url.render_as_string(hide_password=False))
    writer = Recorder(own, load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"}))
    with caplog.at_level(logging.WARNING):
        writer._record("chart_data", Outcome("chart_data", None, 1.0))
        assert not writer.flush()
        assert not writer.flush()
    assert [record.getMessage() for record in caplog.records if "GRANT CREATE" in record.getMessage()]
    assert len(caplog.records) == 1
    assert writer.status().pending == 1
