"""`superset perf warm`: starts a run and follows it, or shows the schedules with their last runs."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import Any

import click
from flask.cli import with_appcontext

from superset_ext.cli.options import ids, ids_or_all, json_option
from superset_ext.cli.output import show
from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import WarmError
from superset_ext.package import package
from superset_ext.settings import TARGETS, Settings, Targets
from superset_ext.warm import service
from superset_ext.warm.recovery import recover
from superset_ext.warm.run import runs
from superset_ext.warm.schedules import next_run

_LOOK_SECONDS = 0.5
_SHOWN = 8  # ids behind a reason
_LAST = """
SELECT DISTINCT ON (schedule) schedule, run_id::text, state, reason, finished_at, entries, entries_read, spent_ms,
    saved_ms
FROM superset_ext.cache_warm_run ORDER BY schedule, created_at DESC
"""


@click.command()
@with_appcontext
@click.option("--dashboards", multiple=True, callback=ids_or_all, metavar="all|ID,…", help="Dashboards.")
@click.option("--charts", multiple=True, callback=ids, metavar="ID,…", help="Charts.")
@click.option("--datasets", multiple=True, callback=ids, metavar="ID,…", help="What is asked of datasets.")
@click.option("--tags", multiple=True, metavar="NAME", help="Dashboards, charts and datasets with a tag.")
@click.option("--target", "targets", multiple=True, type=click.Choice(TARGETS), help="What is used most.")
@click.option("--limit", type=click.IntRange(1), help="How many of what is used most.")
@click.option("--budget-seconds", type=click.FloatRange(0, min_open=True), help="Seconds of queries to spend.")
@click.option("--concurrency", type=click.IntRange(1, 64), help="Requests at a time.")
@click.option("--per-database", type=click.IntRange(1, 256), help="Requests at a time to one source database.")
@click.option("--batch-size", type=click.IntRange(1, 1000), help="Items that a worker takes at a time.")
@click.option("--timeout", type=click.IntRange(1), help="Seconds that one item may take.")
@click.option("--wait", is_flag=True, help="Show the progress, and end when the run does.")
@json_option
def warm(wait: bool, as_json: bool, **options: Any) -> None:
    """Warm charts beforehand; without options, show schedules.

    The schedules are shown with when each runs next, and what its last run was worth.
    """
    here = package()
    database, targets = here.log(), _targets(options)
    if targets.is_empty():
        show_schedules(database, here.settings, as_json)
    else:
        run(database, here.settings, targets, wait, as_json)


def _targets(options: dict[str, Any]) -> Targets:
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if given.get("dashboards") == "all":
        given |= {"all_dashboards": True, "dashboards": ()}
    return Targets(**given)


def run(database: LogDatabase, settings: Settings, targets: Targets, wait: bool, as_json: bool) -> None:
    """Start a run and, with `wait`, follow it to its end.

    Raises:
        WarmError: it cannot be started, failed, or has items that did.
        LogUnavailable: the log database does not answer.
    """
    from superset_ext.host.services import celery_app

    run_id, new = service.start(celery_app, database, targets, "cli")
    if not wait:
        show(as_json, {"run_id": run_id, "new": new}, f"{_started(new)} {run_id}.")
        return
    status = _followed(celery_app, database, settings, run_id, quiet=as_json)
    show(as_json, status, report(status))
    if status["state"] == "failed" or (status["reason"] and not status["total"]):
        raise WarmError(str(status["reason"]))
    if status["failed"]:
        raise WarmError(f"{status['failed']} of {status['total']} requests failed; their reasons are above")


def _started(new: bool) -> str:
    return "Started warming run" if new else "The same is being warmed already, in run"


def _followed(celery: Any, database: LogDatabase, settings: Settings, run_id: str, quiet: bool) -> dict[str, Any]:
    """The status of a run when it has ended."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet or not sys.stderr.isatty())
    columns = (TextColumn("Warming"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("waiting for a worker", total=None)
        while True:
            recover(celery, database, settings)
            status = runs.status(database, run_id)
            if status["state"] != "queued":
                progress.update(bar, total=status["total"], completed=status["done"], description=_doing(status))
            if status["state"] in ("done", "failed"):
                return status
            time.sleep(_LOOK_SECONDS)


def _doing(status: dict[str, Any]) -> str:
    left = status["seconds_left"]
    return f"{status['warmed']} warmed, {status['failed']} failed" + (f", about {left:.0f} s left" if left else "")


def report(status: dict[str, Any]) -> str:
    """A finished run in a few lines: its numbers, then each reason of a failure with the dashboards and charts."""
    lines = [
        f"{status['total']} requests in {status['seconds']:.0f} s: {status['warmed']} warmed, "
        f"{status['already_fresh']} already fresh, {status['failed']} failed{_opened(status['pages'])}"
        + (f"; {status['left_out']} left out, because the budget was full" if status["left_out"] else "")
        + "."
    ]
    lines += [f"  {failure['items']} × {failure['reason']}{_about(failure)}" for failure in status["failures"]]
    if status["reason"] and status["state"] == "done":
        lines.append(f"  {status['reason']}")
    return "\n".join(lines)


def _opened(pages: int) -> str:
    return f"; {pages} page{'' if pages == 1 else 's'} opened to learn what to request" if pages else ""


def _about(failure: dict[str, Any]) -> str:
    parts = [f"{name} {_listed(failure[name])}" for name in ("dashboards", "charts") if failure[name]]
    return f"  ({'; '.join(parts)})" if parts else ""


def _listed(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:_SHOWN])) + ("…" if len(ids) > _SHOWN else "")


def show_schedules(database: LogDatabase, settings: Settings, as_json: bool) -> None:
    """Show when each schedule runs next, and what its last run was worth.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    last = {row["schedule"]: row for row in database.rows(_LAST)}
    rows: list[dict[str, Any]] = [
        {
            "schedule": schedule.name, "next": next_run(schedule), "targets": schedule.targets,
            "last": last.get(schedule.name),
        }
        for schedule in settings.warm_schedules
    ]  # fmt: skip
    lines = [f"{row['schedule']}: next at {_clock(row['next'])}; {_worth(row['last'])}" for row in rows]
    show(as_json, rows, "\n".join(lines) or "There is no warming schedule; set SUPERSET_EXT_WARM_SCHEDULES.")


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _worth(last: dict[str, Any] | None) -> str:
    if last is None:
        return "has not run yet"
    read = f"{last['entries_read']} of {last['entries']} entries read"
    seconds = f"{last['spent_ms'] / 1000:.1f} s spent, {last['saved_ms'] / 1000:.1f} s saved"
    return f"last run {last['state']}: {read}, {seconds}" + (f" ({last['reason']})" if last["reason"] else "")
