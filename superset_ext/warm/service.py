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


def queue_of(celery: Celery) -> str | None:
    """The name of the queue where the config's routes send a run; `None` where they name an exchange and no queue.

    Raises:
        WarmError: a router of the config fails, or names a queue that Celery may not make.
    """
    try:
        queue = celery.amqp.router.route({}, TASK, args=("",), kwargs={}).get("queue")
    except Exception as error:  # noqa: BLE001  (a router may be anybody's function)
        raise WarmError(f"the Celery config gives {TASK} no queue ({error}); correct its task_routes") from None
    return None if queue is None else str(getattr(queue, "name", queue))


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
        reason = f"Celery's broker takes no message ({type(error).__name__}); check the broker_url "
        reason += "of your CELERY_CONFIG, or SUPERSET_EXT_BROKER_URL where that names none"
        raise WarmError(reason) from None
