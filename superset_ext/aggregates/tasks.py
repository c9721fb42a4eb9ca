"""The Celery task of aggregates, and the schedule on which beat runs it. Celery loads this outside an app context."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from superset_ext.aggregates.service import kept_up, sources
from superset_ext.core.warn_once import warn
from superset_ext.errors import SupersetExtError
from superset_ext.package import log_database, this_app
from superset_ext.settings import Settings

UPKEEP = "superset_ext.aggregates_tick"
SECONDS = 30.0


def beat_schedule(_settings: Settings) -> dict[str, dict[str, Any]]:
    """The entry of this task for Celery's `beat_schedule`."""
    return {UPKEEP: {"task": UPKEEP, "schedule": SECONDS, "options": {"expires": SECONDS}}}


@shared_task(name=UPKEEP, ignore_result=True)  # type: ignore[untyped-decorator]
def aggregates_tick() -> None:
    """Bring the aggregates up to date whose turn it is. Of two workers that do so at once, the source lets one."""
    with log_database() as database:
        for number in [] if database is None else sources(database):
            try:
                kept_up(this_app(), number)
            except SupersetExtError as error:
                warn(f"aggregates {number}", "the aggregates of database %d are not refreshed: %s", number, error)
