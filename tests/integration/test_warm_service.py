"""Schedules, and runs that nobody works on: real broker, real log database, and no worker at all."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from kombu import Exchange, Queue

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import WarmError
from superset_ext.host.people import Identity
from superset_ext.settings import Schedule, Settings, Targets, load
from superset_ext.warm import recovery, service
from superset_ext.warm.recovery import recover
from superset_ext.warm.run import items, runs
from superset_ext.warm.schedules import next_run, start_due
from superset_ext.warm.tasks import ROUTES
from testing.warming import until

EVERY_MINUTE = '[{"name": "often", "cron": "* * * * *", "targets": ["common_queries"]}]'


@pytest.fixture
def celery(fresh_valkey: Any) -> Celery:
    app = Celery(broker=f"{fresh_valkey().url}/0")
    app.conf.task_routes = ROUTES
    return app


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are not there are not waited for as long as in production."""
    monkeypatch.setattr(recovery, "REPLY_SECONDS", (0.1, 0.2))


@pytest.fixture
def settings() -> Settings:
    return load({"SUPERSET_EXT_WARM_SCHEDULES": EVERY_MINUTE})


def waiting(celery: Celery) -> int:
    """Messages in warming's queue."""
    with celery.connection_or_acquire() as connection:
        return int(connection.default_channel.client.llen(service.QUEUE))


def silence(database: LogDatabase, seconds: int) -> None:
    """As if nobody had given a sign of life for so long."""
    with database.transaction() as cursor:
        cursor.execute("UPDATE superset_ext.cache_warm_run SET beat_at = now() - make_interval(secs => %s)", (seconds,))


def test_two_beats_make_one_run(celery: Celery, database: LogDatabase, settings: Settings) -> None:
    """Intent: a moment of a schedule is one run and one message, however many beats see it."""
    due = datetime.now(UTC).minute
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: start_due(celery, database, settings), range(8)))
    moments = database.rows("SELECT due_at FROM superset_ext.cache_warm_run WHERE schedule = 'often'")
    assert len(moments) == len({row["due_at"] for row in moments}) <= (1 if datetime.now(UTC).minute == due else 2)
    assert waiting(celery) == len(moments) >= 1


def test_a_schedule_follows_its_time_zone() -> None:
    """Intent: seven in Berlin is five or six in UTC, as the season is."""
    moment = next_run(Schedule(name="berlin", cron="0 7 * * *", timezone="Europe/Berlin"))
    assert moment.astimezone(UTC).hour in (5, 6)
    assert moment.hour == 7


def test_a_run_that_nobody_consumes_fails_with_the_fix(
    celery: Celery, database: LogDatabase, settings: Settings
) -> None:
    """Intent: no worker is the run's reason, not a silence."""
    run_id, new = service.start(celery, database, Targets(dashboards=(1,)), "test")
    silence(database, 0)
    recover(celery, database, settings)
    assert (new, runs.status(database, run_id)["state"]) == (True, "queued"), "not before it was silent for a while"
    silence(database, int(recovery.SILENT_SECONDS) + 1)
    recover(celery, database, settings)
    status = runs.status(database, run_id)
    assert (status["state"], status["seconds_left"]) == ("failed", 0.0)
    assert (
        status["reason"] == "no Celery worker consumes the queue superset_ext_warm; start one with -Q superset_ext_warm"
    )


def test_an_item_under_which_every_worker_died_is_given_up(
    celery: Celery, database: LogDatabase, settings: Settings
) -> None:
    """Intent: a request that kills its worker does not kill them all."""
    run_id, _ = service.start(celery, database, Targets(dashboards=(1,)), "test")
    with database.transaction() as cursor:
        cursor.execute("UPDATE superset_ext.cache_warm_run SET state = 'running', started_at = now()")
        items.add(cursor, run_id, [items.Item("replay", Identity(1), "f" * 32)])
        cursor.execute(
            "UPDATE superset_ext.cache_warm_item"
            " SET state = 'running', attempts = 3, lease_until = now() - interval '1 second'"
        )
    silence(database, int(recovery.SILENT_SECONDS) + 1)
    recover(celery, database, settings)
    status = runs.status(database, run_id)
    assert (status["state"], status["failed"]) == ("done", 1)
    assert "its worker died 3 times" in status["failures"][0]["reason"]


def test_nothing_named_starts_nothing(celery: Celery, database: LogDatabase) -> None:
    """Intent: an empty request is an error, and leaves no row and no message."""
    with pytest.raises(WarmError, match="nothing to warm is named"):
        service.start(celery, database, Targets(), "test")
    assert database.rows("SELECT FROM superset_ext.cache_warm_run") == []
    assert waiting(celery) == 0


def test_a_broker_that_is_away_fails_the_run_at_once(database: LogDatabase) -> None:
    """Intent: the caller hears it now, and the next one may start anew."""
    away = Celery(broker="redis://127.0.0.1:9/0", broker_connection_retry=False)
    away.conf.broker_transport_options = {"socket_connect_timeout": 1, "max_retries": 0}
    with pytest.raises(WarmError, match="broker takes no message"):
        service.start(away, database, Targets(dashboards=(1,)), "test")
    assert [row["state"] for row in database.rows("SELECT state FROM superset_ext.cache_warm_run")] == ["failed"]


ELSEWHERE = Exchange("jobs", type="topic")


@pytest.mark.parametrize(
    ("routes", "queues", "name"),
    [
        ({service.TASK: {"queue": "slow"}}, (), "slow"),
        ([{"superset_ext.*": {"queue": "ours"}}, ROUTES], (), "ours"),
        (lambda name, *_args, **_options: {"queue": "asked"} if name == service.TASK else None, (), "asked"),
        (None, (), "celery"),
        ({service.TASK: {"queue": "alias"}}, {"alias": {"exchange": "e", "routing_key": "k"}}, "alias"),
        ({service.TASK: {"exchange": "jobs", "routing_key": "warm"}}, [Queue("jobs", ELSEWHERE, "warm")], None),
    ],
)
def test_the_queue_is_that_of_the_routes(
    celery: Celery, database: LogDatabase, settings: Settings, routes: Any, queues: Any, name: str | None
) -> None:
    """Intent: a run whose task a config sends elsewhere is no run without a worker: who consumes that queue has it, and
    where nobody does, that queue is named."""
    celery.conf.update(task_routes=routes, task_queues=queues or None)
    assert service.queue_of(celery) == name
    run_id, _ = service.start(celery, database, Targets(dashboards=(1,)), "test")
    silence(database, int(recovery.SILENT_SECONDS) + 1)
    recover(celery, database, settings)
    status = runs.status(database, run_id)
    place = f"consumes the queue {name}; start one with -Q {name}" if name else "answers; start one for the exchange"
    assert status["state"] == "failed" and status["reason"].startswith(f"no Celery worker {place}")
    assert not recovery.is_consumed(celery)


def test_a_route_that_leads_nowhere_is_told(celery: Celery) -> None:
    """Intent: a router that fails, and a queue that Celery may not make, are one line with the fix."""
    celery.conf.task_create_missing_queues = False
    celery.conf.task_routes = {service.TASK: {"queue": "nowhere"}}
    with pytest.raises(WarmError, match=r"gives superset_ext\.warm no queue .*nowhere.*; correct its task_routes"):
        service.queue_of(celery)


def leave_logging_alone(**_: Any) -> None:
    """Celery sets up no logging where somebody answers this signal."""


@pytest.mark.thorough
def test_a_worker_of_the_queue_of_the_routes_is_one(celery: Celery) -> None:
    """Intent: a worker that consumes the queue to which the config routes warming is found by it, and one that consumes
    the package's own queue alone is not."""
    from celery.contrib.testing.worker import start_worker
    from celery.signals import setup_logging

    levels = logging.root.level
    setup_logging.connect(leave_logging_alone)
    celery.conf.update(task_routes={service.TASK: {"queue": "slow"}}, task_queues=[Queue("slow"), Queue(service.QUEUE)])
    for name in (service.QUEUE, "slow"):
        with start_worker(celery, pool="solo", queues=[name], perform_ping_check=False):
            assert until(lambda: celery.control.inspect(timeout=1.0).active_queues())
            assert recovery.is_consumed(celery) is (name == "slow")
    setup_logging.disconnect(leave_logging_alone)
    assert logging.root.level == levels, "other tests of this process look at the log"
