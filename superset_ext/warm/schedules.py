"""Warming schedules: when each comes next, and starting the runs that are due."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from celery import Celery
from croniter import croniter

from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import WarmError
from superset_ext.settings import Schedule, Settings, Targets
from superset_ext.warm.service import start

logger = logging.getLogger(__name__)

LATE = timedelta(minutes=10)  # a moment that beat has missed by no more is run all the same
_STARTED = "SELECT FROM superset_ext.cache_warm_run WHERE schedule = %s AND due_at = %s"


def next_run(schedule: Schedule) -> datetime:
    """When a schedule comes next, in its own time zone."""
    moment: datetime = _cron(schedule, datetime.now(UTC)).get_next(datetime)
    return moment


def seconds_to_next(settings: Settings, name: str | None) -> float:
    """Seconds until the schedule `name` comes again; 0 where there is none of that name."""
    schedule = next((schedule for schedule in settings.warm_schedules if schedule.name == name), None)
    return 0.0 if schedule is None else (next_run(schedule) - datetime.now(UTC)).total_seconds()


def start_due(celery: Celery, database: LogDatabase, settings: Settings) -> None:
    """Start the runs that are due; several processes may do so at once.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    for schedule in settings.warm_schedules:
        try:
            _start_if_due(celery, database, schedule)
        except WarmError as error:
            logger.error("superset_ext: the warming schedule %s did not start: %s", schedule.name, error)


def _start_if_due(celery: Celery, database: LogDatabase, schedule: Schedule) -> None:
    now = datetime.now(UTC)
    due = _cron(schedule, now + timedelta(seconds=1)).get_prev(datetime)
    if now - due <= LATE and not database.rows(_STARTED, (schedule.name, due)):
        options = Targets.model_validate(schedule.model_dump(include=set(Targets.model_fields)))
        start(celery, database, options, "beat", schedule.name, due)


def _cron(schedule: Schedule, at: datetime) -> croniter:
    return croniter(schedule.cron, at.astimezone(ZoneInfo(schedule.timezone)))
