"""Starts warming runs: writes the run, and asks Celery for a worker."""

from __future__ import annotations

from datetime import datetime

from celery import Celery

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import WarmError
from superset_ext.settings import Targets
from superset_ext.warm.run import runs

QUEUE = "superset_ext_warm"
TASK = "superset_ext.warm"


def start(
    celery: Celery,
    database: LogDatabase,
    options: Targets,
    requested_by: str,
    schedule: str | None = None,
    due_at: datetime | None = None,
) -> tuple[str, bool]:
    """Start a run; returns its id, and whether it is new: the same may be under way already.

    Raises:
        WarmError: nothing is named, or the broker takes no message.
        LogUnavailable: the log database does not answer.
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
    """Ask for a worker on a run.

    Args:
        seconds: to wait before the task begins.

    Raises:
        WarmError: the broker takes no message.
    """
    try:
        # The task's result is in our tables. Waiting for Celery's would take a connection, and a lock that a garbage
        # collection may find held by its own thread.
        celery.send_task(  # to the queue of its route, which is QUEUE unless the config says another
            TASK, args=[run_id], retry=False, expires=3600, countdown=seconds or None, ignore_result=True
        )
    except Exception as error:  # noqa: BLE001  (kombu raises what its transport does)
        reason = f"Celery's broker takes no message ({type(error).__name__}); check SUPERSET_EXT_BROKER_URL"
        raise WarmError(reason) from None
