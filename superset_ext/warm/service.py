"""Starts runs, plans them, works on them, and sees to those whose worker has gone."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery
from croniter import croniter
from flask import Flask

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import StoreUnavailable, WarmError
from superset_ext.settings import Schedule, Settings, Targets
from superset_ext.warm.discovery.browser import BrowserMissing
from superset_ext.warm.discovery.discover import discover
from superset_ext.warm.registry import worth
from superset_ext.warm.registry.who import Who
from superset_ext.warm.run import plan as planning
from superset_ext.warm.run import runs, targets
from superset_ext.warm.run.execute import Worker
from superset_ext.warm.run.replay import Replayed, Unwarmable
from superset_ext.warm.run.runs import Item

logger = logging.getLogger(__name__)

QUEUE = "superset_ext_warm"
TASK = "superset_ext.warm"
SILENT_SECONDS = 12.0  # after which a run without a sign of life is looked into
REPLY_SECONDS = (2.0, 8.0)  # with the silence and a tick under half a minute, after which a run nobody sees to failed
LATE = timedelta(minutes=10)  # a schedule whose moment beat has missed by no more is run all the same
_OPEN = """
SELECT r.run_id, r.state, extract(epoch FROM now() - r.beat_at) AS silent,
    EXISTS (SELECT FROM superset_ext.cache_warm_item i WHERE i.state = 'running' AND i.lease_until > now()
        AND i.run_id = r.run_id) AS held,
    EXISTS (SELECT FROM superset_ext.cache_warm_item i WHERE i.state = 'running' AND i.lease_until > now()) AS busy,
    EXISTS (SELECT FROM superset_ext.cache_warm_item i WHERE i.run_id = r.run_id
        AND (i.state = 'queued' AND i.not_before <= now() OR i.state = 'running' AND i.lease_until <= now())) AS due,
    (SELECT max(attempts) FROM superset_ext.cache_warm_item i WHERE i.run_id = r.run_id
        AND i.state = 'running' AND i.lease_until <= now()) AS attempts
FROM superset_ext.cache_warm_run r WHERE r.state IN ('queued', 'running') ORDER BY r.created_at
"""
# An item whose worker died under it every time is not given to another one.
_DEADLY = """
UPDATE superset_ext.cache_warm_item SET state = 'failed', finished_at = now(), lease = NULL, lease_until = NULL,
    reason = 'its worker died ' || attempts || ' times while it had it; see the worker''s log'
WHERE state = 'running' AND lease_until <= now() AND attempts >= %s
"""
_BEGIN = """
UPDATE superset_ext.cache_warm_run SET state = 'running', started_at = now(), beat_at = now(),
    fresh = %(fresh)s, left_out = %(left_out)s, reason = %(reason)s
WHERE run_id = %(run)s AND state = 'queued'
"""


def start(
    celery: Celery,
    database: LogDatabase,
    options: Targets,
    requested_by: str,
    schedule: str | None = None,
    due_at: datetime | None = None,
) -> tuple[str, bool]:
    """Start a run; its id, and whether it is a new one.

    Raises:
        WarmError: nothing is named, or the broker takes no message.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    if options.is_empty():
        raise WarmError("nothing to warm is named; name dashboards, charts, datasets, tags or a target")
    run_id, new = runs.create(database, options, requested_by, schedule, due_at)
    if new:
        try:
            enqueue(celery, run_id)
        except WarmError as error:
            runs.fail(database, run_id, str(error))
            raise
    return run_id, new


def enqueue(celery: Celery, run_id: str, seconds: float = 0.0) -> None:
    """Ask for a worker, in so many seconds.

    Raises:
        WarmError: the broker takes no message.
    """
    try:
        # Its result is in our tables. To wait for Celery's would take a connection, and a lock that a collection of
        # garbage may find held by its own thread.
        celery.send_task(
            TASK, args=[run_id], queue=QUEUE, retry=False, expires=3600, countdown=seconds or None, ignore_result=True
        )
    except Exception as error:  # noqa: BLE001  (kombu raises what its transport does)
        reason = f"Celery's broker takes no message ({type(error).__name__}); check SUPERSET_EXT_BROKER_URL"
        raise WarmError(reason) from None


def work(app: Flask, database: LogDatabase, settings: Settings, run_id: str) -> float | None:
    """Plan a run if nobody has, and work on it for a while; seconds after which to go on, `None` for the end.

    Raises:
        WarmError: the run failed as a whole, or ended now with failed items.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    options = runs.options(database, run_id)
    state = runs.status(database, run_id)["state"]
    if state == "queued":
        _prepare(app, database, settings, run_id, options)
    elif state != "running":
        return None
    worker = Worker(app, database, settings, run_id, options, _discovery(app, database, settings, run_id, options))
    wait = worker.work()
    if wait is None:
        _complain(database, run_id)
    return wait


def _complain(database: LogDatabase, run_id: str) -> None:
    """A run with failed items is a failed task: whoever looks at Celery alone must see it."""
    said = runs.status(database, run_id)
    if said["state"] == "done" and said["failed"]:
        first = said["failures"][0]["reason"]
        raise WarmError(f"{said['failed']} of {said['total']} items of warming run {run_id} failed: {first}")


def _prepare(app: Flask, database: LogDatabase, settings: Settings, run_id: str, options: Targets) -> None:
    try:
        with app.app_context():
            found = targets.named(options)
            pages = planning.undiscovered(database, targets.pages(found.dashboards, found.charts))
            made = _plan(
                app, database, settings, options, found.dashboards, found.charts, found.datasets,
                _lasting(database, settings, run_id),
            )  # fmt: skip
    except (StoreUnavailable, WarmError) as error:
        runs.fail(database, run_id, f"it could not be planned: {error}")
        raise WarmError(f"warming run {run_id} could not be planned: {error}") from None
    items = [Item("discover", Who(), page=page.name, **_place(page.name)) for page in pages] + made.items
    values = {
        "run": run_id, "fresh": made.fresh, "left_out": made.left_out, "reason": "; ".join(found.missing) or None,
    }  # fmt: skip
    with database.transaction(60.0) as cursor:
        cursor.execute(_BEGIN, values)
        if cursor.rowcount:
            runs.add(cursor, run_id, items)


def _place(page: str) -> dict[str, Any]:
    kind, number = page.split(":")
    return {f"{kind}_id": int(number)}


def _plan(
    app: Flask,
    database: LogDatabase,
    settings: Settings,
    options: Targets,
    dashboards: Collection[int],
    charts: Collection[int],
    datasets: Collection[int],
    lasting: float,
) -> planning.Plan:
    return planning.plan(
        database, settings, options, dashboards=dashboards, charts=charts, datasets=datasets, lasting=lasting,
        seconds_left=chart_region(app).seconds_left, changed_at=targets.changed_at(),
    )  # fmt: skip


def chart_region(app: Flask) -> Any:
    """The region cache of chart data."""
    from superset.extensions import cache_manager

    return app.extensions["cache"][cache_manager.data_cache]


def _lasting(database: LogDatabase, settings: Settings, run_id: str) -> float:
    """Seconds until the run's schedule comes again; 0 for a run that somebody asked for."""
    said = runs.status(database, run_id)["schedule"]
    schedule = next((each for each in settings.warm_schedules if each.name == said), None)
    if schedule is None:
        return 0.0
    return (next_run(schedule) - datetime.now(UTC)).total_seconds()


def _discovery(app: Flask, database: LogDatabase, settings: Settings, run_id: str, options: Targets) -> Any:
    """What a worker does with an item that is a page."""

    def visit(item: Item) -> tuple[Replayed, list[Item]]:
        page = next(iter(targets.pages(_one(item.dashboard_id), _one(item.chart_id))), None)
        if page is None:
            return Replayed((), "the page does not exist any more", False, 0.0), []
        try:
            seen = discover(app, database, settings, page)
        except (Unwarmable, BrowserMissing) as error:
            return Replayed((), f"{item.page} was not opened: {error}", False, 0.0), []
        named = {"dashboards": _one(item.dashboard_id), "charts": _one(item.chart_id), "datasets": ()}
        only = options.model_copy(update={"targets": (), "budget_seconds": None})
        made = _plan(app, database, settings, only, **named, lasting=0.0)
        problems = f"{item.page}: {'; '.join(seen.problems)}" if seen.problems else None
        return Replayed((), problems, False, 0.0), _new(database, run_id, made.items)

    return visit


def _one(number: int | None) -> tuple[int, ...]:
    return () if number is None else (number,)


def _new(database: LogDatabase, run_id: str, items: list[Item]) -> list[Item]:
    """Those that are not in the run yet."""
    rows = database.rows("SELECT fingerprint, who FROM superset_ext.cache_warm_item WHERE run_id = %s", (run_id,))
    there = {(row["fingerprint"], row["who"]) for row in rows}
    return [item for item in items if (item.fingerprint, item.who.name) not in there]


def tend(celery: Celery, database: LogDatabase, settings: Settings) -> None:
    """See to runs without a sign of life: another worker goes on, or they fail because there is none.

    Any number of processes may do so at once, and as often as they like.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction() as cursor:
        cursor.execute(_DEADLY, (max(3, settings.warm_attempts),))
    consumed: bool | None = None
    for run in database.rows(_OPEN):
        if run["held"] or run["silent"] < SILENT_SECONDS:
            continue
        run_id = str(run["run_id"])
        if run["state"] == "running" and not run["due"] and runs.close(database, run_id):
            continue
        consumed = is_consumed(celery) if consumed is None else consumed
        if not consumed and not run["busy"]:
            runs.fail(database, run_id, f"no Celery worker consumes the queue {QUEUE}; start one with -Q {QUEUE}")
        elif not run["busy"] and _touched(database, run_id):
            enqueue(celery, run_id)


def _touched(database: LogDatabase, run_id: str) -> bool:
    """Whether this process is the one that sees to it now."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE superset_ext.cache_warm_run SET beat_at = now() WHERE run_id = %s"
            " AND beat_at < now() - make_interval(secs => %s)",
            (run_id, SILENT_SECONDS),
        )
        return bool(cursor.rowcount)


def is_consumed(celery: Celery) -> bool:
    """Whether a worker says that it consumes warming's queue; one that is slow to answer is asked again."""
    return any(_says_so(celery, seconds) for seconds in REPLY_SECONDS)


def _says_so(celery: Celery, seconds: float) -> bool:
    try:
        said = celery.control.inspect(timeout=seconds).active_queues() or {}
    except Exception:  # noqa: BLE001  (kombu raises what its transport does)
        return False
    return any(each["name"] == QUEUE for queues in said.values() for each in queues)


def tick(celery: Celery, database: LogDatabase, settings: Settings) -> None:
    """What beat does every few seconds: start what is due, tend what is under way, settle what has ended.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    for schedule in settings.warm_schedules:
        try:
            _start_if_due(celery, database, schedule)
        except WarmError as error:
            logger.error("superset_ext: the warming schedule %s did not start: %s", schedule.name, error)
    tend(celery, database, settings)
    for run in worth.settle(database):
        logger.warning(
            "superset_ext: the warming schedule %s warms for nobody: none of %d entries was read before it went; "
            "give it other targets or another hour, or raise the timeout of chart data",
            run["schedule"], run["entries"],
        )  # fmt: skip


def _start_if_due(celery: Celery, database: LogDatabase, schedule: Schedule) -> None:
    now = datetime.now(UTC)
    due = _cron(schedule, now + timedelta(seconds=1)).get_prev(datetime)
    if now - due > LATE:
        return
    known = database.rows(
        "SELECT FROM superset_ext.cache_warm_run WHERE schedule = %s AND due_at = %s", (schedule.name, due)
    )
    if not known:
        options = Targets.model_validate(schedule.model_dump(include=set(Targets.model_fields)))
        start(celery, database, options, "beat", schedule.name, due)


def next_run(schedule: Schedule) -> datetime:
    """When a schedule comes next."""
    moment: datetime = _cron(schedule, datetime.now(UTC)).get_next(datetime)
    return moment


def _cron(schedule: Schedule, at: datetime) -> croniter:
    from zoneinfo import ZoneInfo

    return croniter(schedule.cron, at.astimezone(ZoneInfo(schedule.timezone)))
