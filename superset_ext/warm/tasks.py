"""The Celery tasks of warming, and when beat runs them.

Celery loads this outside an app context, so it imports no Superset; the tasks run within one. A message
holds a run's id and nothing else.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from celery import current_app as celery
from celery import shared_task

from superset_ext.package import log_database
from superset_ext.settings import Settings, current
from superset_ext.warm.rewarm import follow
from superset_ext.warm.run.execute import SLICE_SECONDS
from superset_ext.warm.service import QUEUE, TASK, enqueue, tick, work

TICK = "superset_ext.warm_tick"
TICK_SECONDS = 10.0
# A slice, and then what was begun in it; a thread that hangs must not hold a worker for ever.
SOFT_SECONDS = SLICE_SECONDS + 3600
ROUTES = {TASK: {"queue": QUEUE}}


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """What beat runs for us, to be merged into Celery's `beat_schedule`; the schedules themselves are the tick's."""
    if not settings.warm_schedules and not settings.rewarm:
        return {}
    return {TICK: {"task": TICK, "schedule": TICK_SECONDS, "options": {"expires": TICK_SECONDS}}}


_TICKS = re.compile(r"superset_ext\.\w+_tick")


class _Quiet(logging.Filter):
    """Keeps what the tick says of itself every few seconds out of a worker's log, errors excepted."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be written."""
        return record.levelno > logging.INFO or not _TICKS.search(record.getMessage())


for _name in ("celery.worker.strategy", "celery.app.trace", "celery.beat"):
    logging.getLogger(_name).addFilter(_Quiet())


@shared_task(  # type: ignore[untyped-decorator]
    name=TASK, store_errors_even_if_ignored=True, soft_time_limit=SOFT_SECONDS, time_limit=SOFT_SECONDS + 60
)
def warm(run_id: str) -> None:
    """Work on a run for a while, and ask for another worker where there is more to do.

    Raises:
        WarmError: see `service.work`.
        LogUnavailable: the log database does not answer; the tick asks again.
    """
    from flask import current_app

    app: Any = current_app._get_current_object()  # type: ignore[attr-defined]
    with log_database() as database:
        if database is not None and (wait := work(app, database, current(), run_id)) is not None:
            enqueue(celery, run_id, wait)


@shared_task(name=TICK, ignore_result=True)  # type: ignore[untyped-decorator]
def warm_tick() -> None:
    """Start what is due, tend what is under way, settle what has ended.

    Raises:
        LogUnavailable: the log database does not answer; the next tick does it.
    """
    with log_database() as database:
        if database is not None:
            tick(celery, database, current())
            follow(celery, database, current())
