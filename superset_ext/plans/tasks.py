"""The Celery tasks of plans, and the schedule on which beat runs them. Celery loads this outside an app context."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from superset_ext.package import log_database, this_app
from superset_ext.plans.indexes import proposals
from superset_ext.plans.upkeep.kept import look
from superset_ext.settings import Settings, current

UPKEEP = "superset_ext.upkeep_tick"
UPKEEP_SECONDS = 300.0  # each source is looked at once an hour, see `upkeep.kept`
INDEXES = "superset_ext.index_advice_tick"
INDEXES_SECONDS = 300.0  # each source is asked once a day, see `proposals`


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The entries of these tasks for Celery's `beat_schedule`; none where plans are switched off."""
    if not settings.plans:
        return {}
    seconds = {UPKEEP: UPKEEP_SECONDS, INDEXES: INDEXES_SECONDS}
    return {task: {"task": task, "schedule": every, "options": {"expires": every}} for task, every in seconds.items()}


@shared_task(name=UPKEEP, ignore_result=True)  # type: ignore[untyped-decorator]
def upkeep_tick() -> None:
    """Look at what each source that is due needs for itself."""
    with log_database() as database:
        if database is not None and current().plans:
            look(this_app(), database, current(), only_due=True)


@shared_task(name=INDEXES, ignore_result=True)  # type: ignore[untyped-decorator]
def index_advice_tick() -> None:
    """Ask each source that is due which indexes would help."""
    with log_database() as database:
        if database is not None and current().plans:
            proposals.look(this_app(), database, current())
