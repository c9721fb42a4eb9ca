"""The Celery task of plans, and the schedule on which beat runs it. Celery loads this outside an app context."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from superset_ext.package import log_database, this_app
from superset_ext.plans.upkeep.kept import look
from superset_ext.settings import Settings, current

UPKEEP = "superset_ext.upkeep_tick"
UPKEEP_SECONDS = 3600.0


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The entry of this task for Celery's `beat_schedule`; none where plans are switched off."""
    if not settings.plans:
        return {}
    return {UPKEEP: {"task": UPKEEP, "schedule": UPKEEP_SECONDS, "options": {"expires": UPKEEP_SECONDS}}}


@shared_task(name=UPKEEP, ignore_result=True)  # type: ignore[untyped-decorator]
def upkeep_tick() -> None:
    """Look at what each source needs for itself."""
    with log_database() as database:
        if database is not None and current().plans:
            look(this_app(), database, current())
