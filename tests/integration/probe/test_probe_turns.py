"""Whose turn it is: intervals, failures, workers that share the probes, and sources that are slow."""

from __future__ import annotations

import logging
import re
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.probe import claims as claiming
from superset_ext.freshness.probe import schedule as probing
from superset_ext.freshness.probe import threads as probe_threads
from superset_ext.freshness.probe.schedule import has_data_changed, probe_now, run_due
from superset_ext.freshness.probe.status import status
from superset_ext.freshness.probe.subject import Probed
from superset_ext.sqltables.table import Table
from testing.probes import PATIENCE, T0, TABLE, Charts, Source, asking, registered, until


def test_the_same_answer_touches_nothing(source: Source, charts: Charts) -> None:
    """Intent: the first answer is told, since entries may be older; after that, nobody while the data is the same."""
    probe = source.probe()
    assert charts.run(0, probe) == ["changed"]
    assert charts.changes == [Probed(probe.name, source.id, (SourceTable(source.id, Table("public", "t")),))]
    first = charts.row(probe)
    source.rows("SELECT * FROM t")
    assert charts.run(60, probe) == charts.run(120, probe) == ["unchanged"]
    assert len(charts.changes) == 1
    later = charts.row(probe)
    assert (later["answer"], later["changed_at"]) == (first["answer"], T0)
    assert later["answered_at"] == T0 + timedelta(seconds=120)


def test_a_probe_is_asked_once_an_interval(source: Source, charts: Charts) -> None:
    """Intent: what is not due is left alone, and the next turn is an interval from the last."""
    probe = source.probe(every=60)
    assert charts.run(0, probe) == ["changed"]
    assert charts.run(5, probe) == charts.run(59.9, probe) == []
    assert charts.run(60, probe) == ["unchanged"]


def test_a_failure_is_borne_and_then_told_at_each_turn(
    source: Source, charts: Charts, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: while nobody knows, charts go to the database, from the end of patience to the first answer."""
    probe = source.probe(every=60, patience=150)
    assert charts.run(0, probe) == ["changed"]
    source.run("ALTER TABLE t RENAME TO gone")
    assert [charts.run(at, probe) for at in (60, 120, 180)] == [["failing"]] * 3
    assert len(charts.changes) == 1, "it is borne for a while"
    assert charts.row(probe)["next_at"] == T0 + timedelta(seconds=210), "patience ends before its next turn"
    with caplog.at_level(logging.INFO):
        assert [charts.run(at, probe) for at in (210, 270, 330)] == [["unknown"]] * 3
        assert len(charts.changes) == 4
        assert caplog.text.count("so its charts go to the database: there is no table") == 1, "once a minute at most"
        source.run("ALTER TABLE gone RENAME TO t")
        assert charts.run(390, probe) == ["changed"], "the answer is the one of before, and told all the same"
        assert "answers again" in caplog.text
    assert charts.run(450, probe) == ["unchanged"]
    assert len(charts.changes) == 5
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
    assert len(charts.changes) == 1


def test_without_patience_the_first_failure_is_told(source: Source, charts: Charts) -> None:
    """Intent: whoever wants no old data at all gets none."""
    probe = source.probe(table="public.absent", patience=0)
    assert charts.run(0, probe) == ["unknown"]
    assert charts.changes[0].tables == (SourceTable(source.id, Table("public", "absent")),)


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
    assert len(charts.changes) == 2


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
    assert len(charts.changes) == 2


def test_any_error_of_the_callback_counts(source: Source, charts: Charts) -> None:
    """Intent: nothing that goes wrong in telling advances the answer, nor keeps the other probes waiting."""
    first, second = source.probe(), source.probe(method="count")

    def stamp(probed: Probed) -> None:
        raise RuntimeError("secret")

    outcomes = run_due(charts.database, [first, second], stamp, now=T0)
    assert [outcome.state for outcome in outcomes] == ["untold"] * 2
    assert [charts.row(probe)["answer"] for probe in (first, second)] == [None] * 2
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
        outcomes = [outcome for done in pool.map(tick, range(6)) for outcome in done]
    assert sorted(outcome.probe.every for outcome in outcomes) == [60, 61, 62]
    assert len(charts.changes) == 3


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
    assert [claim and claim.probe for claim in claims] == [free, None]


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
    monkeypatch.setattr(probe_threads._Asked, "is_late", lambda question: endless.is_set() and is_late(question))
    (again,) = charts.outcomes(120, slow)
    assert again.error == "it took longer than 0.4 s", "and the probe is asked again"
    assert until(lambda: not asking())


GATE = "pg_advisory_xact_lock_shared(4711)"


AT_THE_GATE = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"


@contextmanager
def gate(source: Source, count: int, seen: Callable[[], Any]) -> Iterator[list[Any]]:
    """Questions that come to `GATE` wait there until there are so many; what is then seen."""
    answers: list[Any] = []
    with closing(psycopg2.connect(source.url)) as keeper, keeper.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(4711)")

        def keep() -> None:
            try:
                until(lambda: source.rows(AT_THE_GATE) == [(count,)])
                answers.append(seen())
            finally:
                keeper.rollback()

        thread = threading.Thread(target=keep)
        thread.start()
        yield answers
        thread.join()


def test_one_question_at_a_time_to_a_database_and_four_in_all(context: Any, source: Source, charts: Charts) -> None:
    """Intent: a run is quick over many databases, and easy on each."""
    alone = f"SELECT 1 / (CASE WHEN pg_try_advisory_xact_lock({{}}) THEN 1 ELSE 0 END), {GATE}"
    others = [registered(source.url) for _ in range(5)]
    probes = [other.probe(sql=alone.format(number), timeout=60) for number, other in enumerate(others)]
    probes += [other.probe(sql=alone.format(number), timeout=60, every=120) for number, other in enumerate(others[:2])]
    with gate(source, 4, lambda: len(asking())) as seen:
        assert charts.run(0, *probes) == ["changed"] * 7
    assert seen == [4]


def test_a_probe_that_fails_comes_last(source: Source, charts: Charts) -> None:
    """Intent: a slow question does not keep the good ones of its database waiting each time."""
    bad, good = source.probe(sql="SELECT 1 / 0"), source.probe()
    assert sorted(charts.run(0, bad, good)) == ["changed", "failing"]
    assert [outcome.probe for outcome in charts.outcomes(60, bad, good)] == [good, bad]


def test_a_run_ends_and_leaves_the_rest_to_the_next(
    source: Source, charts: Charts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a worker is not held for ever, and what was not begun keeps its turn."""
    probes = [source.probe(sql=f"SELECT {number}") for number in range(2)]
    claimed: list[Any] = []
    claim = claiming.claim
    monkeypatch.setattr(claiming, "claim", lambda *arguments: claimed.append(claim(*arguments)) or claimed[-1])
    passed = lambda: sum(claim is not None for claim in claimed) * (probing.SLICE_SECONDS + 1)  # noqa: E731
    monkeypatch.setattr(probing, "time", SimpleNamespace(monotonic=passed))
    assert charts.run(0, *probes) == ["changed"]
    assert charts.run(0, *probes) == ["changed"]
    assert charts.run(0, *probes) == []


def test_a_source_that_takes_no_connection_holds_one_thread(context: Any, charts: Charts) -> None:
    """Intent: threads do not pile up before a source that hangs, and its probes fail all the same."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:topsecret@127.0.0.1:{silent.getsockname()[1]}/x"
        source = registered(url)
        probes = [source.probe(timeout=0.2, every=every) for every in (60, 61, 62)]
        assert charts.run(0, *probes) == ["failing"] * 3
        assert charts.run(120, *probes) == ["failing"] * 3
        assert len(asking()) == 1
        errors = {charts.row(probe)["error"] for probe in probes}
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
    assert len(charts.changes) == 1


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
    rows = status(charts.database, [good, bad, never])
    assert [row["probe"] for row in rows] == [good.name, bad.name, never.name]
    assert rows[0]["problem"] is None and rows[0]["changed_at"] is not None
    assert rows[1]["problem"].startswith('it fails: there is no table "public"."no"')
    assert rows[2]["problem"] == "it was never asked; see that Celery beat and a worker run"
    with charts.database.transaction() as cursor:
        cursor.execute("UPDATE cache_probe SET failed_since = now() - interval '1 hour' WHERE failed_since IS NOT NULL")
        cursor.execute("UPDATE cache_probe SET next_at = now() - interval '2 minutes' WHERE failed_since IS NULL")
    rows = status(charts.database, [good, bad])
    assert re.fullmatch(r"its turn was 1\d\d s ago; see that Celery beat and a worker run", rows[0]["problem"])
    assert rows[1]["problem"].startswith("it fails, and its charts go to the database: there is no table")


def test_without_the_log_database_charts_go_to_the_database(
    source: Source, charts: Charts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a probe that nobody can take a turn at has failed, too, once its patience is over."""
    away = LogDatabase("postgresql://nobody:x@127.0.0.1:9/none")
    probes = [source.probe(patience=20), source.probe(patience=3600)]
    clock = [1000.0]
    monkeypatch.setattr(probing, "_away_since", None)
    monkeypatch.setattr(probing.time, "monotonic", lambda: clock[0])
    for seconds, count in ((0, 0), (19, 0), (21, 1), (26, 2)):
        clock[0] = 1000.0 + seconds
        with pytest.raises(LogUnavailable):
            run_due(away, probes, charts.stamp)
        assert len(charts.changes) == count
    monkeypatch.undo()
    assert charts.changes[0].tables == (SourceTable(source.id, Table("public", "t")),)
    charts.run(0, *probes)
    assert probing._away_since is None
