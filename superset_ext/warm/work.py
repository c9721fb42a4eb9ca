"""What a worker does with a run: plan it, where nobody has, and work on it for a slice of time."""

from __future__ import annotations

from flask import Flask

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import StoreUnavailable, Unanswerable, WarmError
from superset_ext.host.people import Identity
from superset_ext.host.regions import chart_region
from superset_ext.settings import Settings, Targets
from superset_ext.warm.discovery.chromium import BrowserMissing
from superset_ext.warm.discovery.discover import PageUnreachable, discover, discover_saved
from superset_ext.warm.run import items, runs
from superset_ext.warm.run.items import Item
from superset_ext.warm.run.pages import Page, pages, undiscovered
from superset_ext.warm.run.plan import Plan, plan
from superset_ext.warm.run.replay import Replayed
from superset_ext.warm.run.targets import Resolved, changed_at, resolved
from superset_ext.warm.run.worker import Discover, Result, Worker
from superset_ext.warm.schedules import seconds_to_next


def work(app: Flask, database: LogDatabase, settings: Settings, run_id: str) -> float | None:
    """Plan a run, if it is queued, and work on it for a while.

    Returns:
        Seconds after which to go on; `None` when the run has ended.

    Raises:
        WarmError: the run failed as a whole, or ended now with failed items.
        LogUnavailable: the log database does not answer.
    """
    status = runs.status(database, run_id)
    options = Targets.model_validate(status["options"])
    if status["state"] == "queued":
        _prepare(app, database, settings, run_id, options, seconds_to_next(settings, status["schedule"]))
    elif status["state"] != "running":
        return None
    worker = Worker(app, database, settings, run_id, options, _discovery(app, database, settings, run_id, options))
    wait = worker.work()
    if wait is None:
        _raise_failures(database, run_id)
    return wait


def _raise_failures(database: LogDatabase, run_id: str) -> None:
    """Fail the task of a run with failed items, for those who look at Celery alone."""
    status = runs.status(database, run_id)
    if status["state"] == "done" and status["failed"]:
        reason = status["failures"][0]["reason"]
        raise WarmError(f"{status['failed']} of {status['total']} items of warming run {run_id} failed: {reason}")


def _prepare(
    app: Flask, database: LogDatabase, settings: Settings, run_id: str, options: Targets, lasting: float
) -> None:
    try:
        with app.app_context():
            named = resolved(options)
            unknown = undiscovered(database, pages(named.dashboards, named.charts))
            planned = _plan(app, database, settings, options, named, lasting)
    except (StoreUnavailable, WarmError) as error:
        runs.fail(database, run_id, f"it could not be planned: {error}")
        raise WarmError(f"warming run {run_id} could not be planned: {error}") from None
    runs.begin(
        database, run_id, [*map(_discovery_item, unknown), *planned.items],
        fresh=planned.fresh, left_out=planned.left_out, reason="; ".join(named.missing) or None,
    )  # fmt: skip


def _discovery_item(page: Page) -> Item:
    return Item("discover", Identity(), page=page.name, dashboard_id=page.dashboard_id, chart_id=page.chart_id)


def _plan(
    app: Flask, database: LogDatabase, settings: Settings, options: Targets, named: Resolved, lasting: float
) -> Plan:
    return plan(
        database, settings, options, named, lasting=lasting,
        seconds_left=chart_region(app).seconds_left, changed_at=changed_at(),
    )  # fmt: skip


def _discovery(app: Flask, database: LogDatabase, settings: Settings, run_id: str, options: Targets) -> Discover:
    """What a worker does with an item that is a page: open it, and plan what it asks for."""
    only = options.model_copy(update={"targets": (), "budget_seconds": None})

    def open_page(item: Item) -> Result:
        page = next(iter(pages(_one(item.dashboard_id), _one(item.chart_id))), None)
        if page is None:
            return Result(item, Replayed(error="the page does not exist any more"))
        try:
            problems = _discovered(app, database, settings, page)
        except Unanswerable as error:
            return Result(item, Replayed(error=f"{item.page} was not opened: {error}"))
        named = Resolved({*_one(item.dashboard_id)}, {*_one(item.chart_id)})
        planned = _plan(app, database, settings, only, named, lasting=0.0)
        unseen = f"{item.page}: {'; '.join(problems)}" if problems else None
        return Result(item, Replayed(error=unseen), _new(database, run_id, planned.items))

    return open_page


def _discovered(app: Flask, database: LogDatabase, settings: Settings, page: Page) -> tuple[str, ...]:
    """What is not known of a page's requests; the other ones are registered."""
    try:
        return discover(app, database, settings, page)
    except (BrowserMissing, PageUnreachable) as error:
        problems = discover_saved(app, database, settings, page)
        return (*problems, str(error)) if problems else ()


def _one(number: int | None) -> tuple[int, ...]:
    return () if number is None else (number,)


def _new(database: LogDatabase, run_id: str, planned: list[Item]) -> list[Item]:
    """Those that are not in the run yet."""
    known = items.pairs_in(database, run_id)
    return [item for item in planned if (item.fingerprint, item.identity.name) not in known]
