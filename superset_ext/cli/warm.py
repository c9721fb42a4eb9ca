"""What `superset perf warm` shows: a run's progress and end, and the schedules with their last runs."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import WarmError
from superset_ext.settings import Settings, Targets
from superset_ext.warm import service
from superset_ext.warm.run import runs

_LOOK_SECONDS = 0.5
_LAST = """
SELECT DISTINCT ON (schedule) schedule, run_id::text, state, reason, finished_at, entries, entries_read, spent_ms,
    saved_ms
FROM superset_ext.cache_warm_run ORDER BY schedule, created_at DESC
"""


def run(database: LogDatabase | None, settings: Settings, options: Targets, wait: bool, as_json: bool) -> None:
    """Start a run and, with `wait`, follow it to its end.

    Raises:
        WarmError: it cannot be started, failed, or has items that did.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    from superset.extensions import celery_app

    if database is None:
        raise WarmError("no log database")
    run_id, new = service.start(celery_app, database, options, "cli")
    if not wait:
        click.echo(json.dumps({"run_id": run_id, "new": new}) if as_json else f"{_started(new)} {run_id}.")
        return
    said = _followed(celery_app, database, settings, run_id, quiet=as_json)
    click.echo(json.dumps(said, default=str, indent=2) if as_json else report(said))
    if said["state"] == "failed" or (said["reason"] and not said["total"]):
        raise WarmError(str(said["reason"]))
    if said["failed"]:
        raise WarmError(f"{said['failed']} of {said['total']} items failed; their reasons are above")


def _started(new: bool) -> str:
    return "Started warming run" if new else "The same is being warmed already, in run"


def _followed(celery: Any, database: LogDatabase, settings: Settings, run_id: str, quiet: bool) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet or not sys.stderr.isatty())
    columns = (TextColumn("Warming"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("waiting for a worker", total=None)
        while True:
            service.tend(celery, database, settings)
            said = runs.status(database, run_id)
            if said["state"] != "queued":
                progress.update(bar, total=said["total"], completed=said["done"], description=_doing(said))
            if said["state"] in ("done", "failed"):
                return said
            time.sleep(_LOOK_SECONDS)


def _doing(said: dict[str, Any]) -> str:
    left = said["seconds_left"]
    return f"{said['warmed']} warmed, {said['failed']} failed" + (f", about {left:.0f} s left" if left else "")


def report(said: dict[str, Any]) -> str:
    """A finished run in a few lines: what was done, and each reason with what it is about."""
    lines = [
        f"{said['total']} items in {said['seconds']:.0f} s: {said['warmed']} warmed, "
        f"{said['already_fresh']} already fresh, {said['failed']} failed"
        + (f"; {said['left_out']} left out, being over the budget" if said["left_out"] else "")
        + "."
    ]
    lines += [f"  {each['items']} × {each['reason']}{_about(each)}" for each in said["failures"]]
    if said["reason"] and said["state"] == "done":
        lines.append(f"  {said['reason']}")
    return "\n".join(lines)


def _about(failure: dict[str, Any]) -> str:
    parts = [
        f"{name} {', '.join(map(str, failure[name][:8]))}{'…' if len(failure[name]) > 8 else ''}"
        for name in ("dashboards", "charts")
        if failure[name]
    ]
    return f"  ({'; '.join(parts)})" if parts else ""


def show(database: LogDatabase, settings: Settings, as_json: bool) -> None:
    """The schedules: when each runs next, and what its last run was worth.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    last = {row["schedule"]: row for row in database.rows(_LAST)}
    rows: list[dict[str, Any]] = [
        {"schedule": each.name, "next": service.next_run(each), "targets": each.targets, "last": last.get(each.name)}
        for each in settings.warm_schedules
    ]
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
        return
    for row in rows:
        click.echo(f"{row['schedule']}: next at {_clock(row['next'])}; {_worth(row['last'])}")
    if not rows:
        click.echo("There is no warming schedule; set SUPERSET_EXT_WARM_SCHEDULES.")


def _clock(moment: Any) -> str:
    return f"{moment.astimezone(UTC) if isinstance(moment, datetime) else moment:%Y-%m-%d %H:%M} UTC"


def _worth(last: dict[str, Any] | None) -> str:
    if last is None:
        return "has not run yet"
    read = f"{last['entries_read']} of {last['entries']} entries read"
    spent = f"{last['spent_ms'] / 1000:.1f} s spent, {last['saved_ms'] / 1000:.1f} s saved"
    return f"last run {last['state']}: {read}, {spent}" + (f" ({last['reason']})" if last["reason"] else "")
