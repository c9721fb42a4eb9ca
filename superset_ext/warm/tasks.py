"""The Celery tasks of warming, and when beat runs them.

Celery loads this outside an app context, so it imports no Superset; the tasks run within one. A message holds a run's
id and nothing else.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from celery import current_app as celery
from celery import shared_task

from superset_ext.core.log_database import LogDatabase
from superset_ext.package import log_database, this_app
from superset_ext.settings import Settings, current
from superset_ext.warm.recovery import recover
from superset_ext.warm.registry import worth
from superset_ext.warm.rewarm import rewarm
from superset_ext.warm.run.worker import SLICE_SECONDS
from superset_ext.warm.schedules import start_due
from superset_ext.warm.service import QUEUE, TASK, enqueue
from superset_ext.warm.work import work

logger = logging.getLogger(__name__)

TICK = "superset_ext.warm_tick"
TICK_SECONDS = 10.0
# A slice, and then what was begun in it; a thread that hangs must not hold a worker for ever.
SOFT_SECONDS = SLICE_SECONDS + 3600
ROUTES = {TASK: {"queue": QUEUE}}
_TICKS = re.compile(r"superset_ext\.\w+_tick")


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """What beat runs for us, to be merged into Celery's `beat_schedule`; the schedules themselves are the tick's."""
    if not settings.warm_schedules and not settings.rewarm:
        return {}
    return {TICK: {"task": TICK, "schedule": TICK_SECONDS, "options": {"expires": TICK_SECONDS}}}


class _Quiet(logging.Filter):
    """Keeps Celery's lines about the tick, one every few seconds, out of a worker's log, errors excepted."""

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
        WarmError: the run failed as a whole, or ended now with failed items.
        LogUnavailable: the log database does not answer; the tick asks for another worker.
    """
    with log_database() as database:
        if database is not None and (wait := work(this_app(), database, current(), run_id)) is not None:
            enqueue(celery, run_id, wait)


@shared_task(name=TICK, ignore_result=True)  # type: ignore[untyped-decorator]
def warm_tick() -> None:
    """Start what is due, see to stalled runs, settle what has ended.

    Raises:
        LogUnavailable: the log database does not answer; the next tick does it.
    """
    with log_database() as database:
        if database is not None:
            start_due(celery, database, current())
            recover(celery, database, current())
            settle(database)
            rewarm(celery, database, current())


def settle(database: LogDatabase) -> None:
    """Settle the figures of runs, and warn of schedules that warm for nobody.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    for run in worth.settle(database):
        logger.warning(
            "superset_ext: the warming schedule %s warms for nobody: none of %d entries was read before it went; "
            "give it other targets or another hour, or raise the timeout of chart data",
            run["schedule"], run["entries"],
        )  # fmt: skip
