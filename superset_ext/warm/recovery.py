"""Sees to stalled runs, those without a sign of life: another worker goes on, or they fail because there is none."""

from __future__ import annotations

from celery import Celery

from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import Settings
from superset_ext.warm.run import items, runs
from superset_ext.warm.service import TASK, enqueue, queue_of

SILENT_SECONDS = 12.0  # without a sign of life, after which a run is stalled
REPLY_SECONDS = (2.0, 8.0)  # that workers have to answer; the second time for those that are slow
_LEAST_DEATHS = 3
_TAKEN_ON = """
UPDATE superset_ext.cache_warm_run SET beat_at = now()
WHERE run_id = %s AND beat_at < now() - make_interval(secs => %s)
"""


def recover(celery: Celery, database: LogDatabase, settings: Settings) -> None:
    """See to stalled runs. Any number of processes may do so at once, and as often as they like.

    Raises:
        WarmError: the broker takes no message, or the config gives the task no queue.
        LogUnavailable: the log database does not answer.
    """
    items.give_up(database, max(_LEAST_DEATHS, settings.warm_attempts))
    stalled = database.query("warm_runs_stalled", {"seconds": SILENT_SECONDS})
    left = [run for run in stalled if not _is_over(database, run)]
    # Where some run is being worked on, its worker is only busy, and comes to the others later.
    waiting = [run["run_id"] for run in left if not run["busy"]]
    consumed = bool(waiting) and is_consumed(celery)
    for run_id in waiting:
        if not consumed:
            runs.fail(database, run_id, _nobody(queue_of(celery)))
        elif _is_ours(database, run_id):
            enqueue(celery, run_id)


def _nobody(queue: str | None) -> str:
    if queue is None:
        return f"no Celery worker answers; start one for the exchange of the route of {TASK}"
    return f"no Celery worker consumes the queue {queue}; start one with -Q {queue}"


def _is_over(database: LogDatabase, run: dict[str, object]) -> bool:
    """Whether a run had nothing left to do; it is closed then."""
    return run["state"] == "running" and not run["due"] and runs.close(database, str(run["run_id"]))


def _is_ours(database: LogDatabase, run_id: str) -> bool:
    """Whether this process is the one that sees to the run now."""
    with database.transaction() as cursor:
        cursor.execute(_TAKEN_ON, (run_id, SILENT_SECONDS))
        return bool(cursor.rowcount)


def is_consumed(celery: Celery) -> bool:
    """Whether a worker answers that it consumes warming's queue; slow workers are asked a second time.

    Where the config's routes name no queue for it, whoever answers may be the one.
    """
    queue = queue_of(celery)
    return any(_answers(celery, queue, seconds) for seconds in REPLY_SECONDS)


def _answers(celery: Celery, name: str | None, seconds: float) -> bool:
    try:
        queues = celery.control.inspect(timeout=seconds).active_queues() or {}
    except Exception:  # noqa: BLE001  (kombu raises what its transport does)
        return False
    return any(name in (None, queue["name"]) for of_worker in queues.values() for queue in of_worker)
