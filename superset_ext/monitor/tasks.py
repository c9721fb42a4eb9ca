"""The Celery tasks of the log, and when beat runs them.

Celery loads this outside an app context, so it imports no Superset; the tasks run within one.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from celery import shared_task
from celery.schedules import ParseException, crontab

from superset_ext.db import LogDatabase, log_url
from superset_ext.errors import SettingsError
from superset_ext.monitor.retention import maintain
from superset_ext.settings import PREFIX, Settings, current

MAINTAIN = "superset_ext.maintain_log"


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """What beat runs for us, to be merged into Celery's `beat_schedule`.

    Raises:
        SettingsError: the cron line is one that Celery cannot read.
    """
    return {MAINTAIN: {"task": MAINTAIN, "schedule": _crontab(settings.maintenance_cron)}}


def _crontab(line: str) -> crontab:
    try:
        return crontab.from_string(line)
    except (ParseException, ValueError) as error:
        raise SettingsError(f"{PREFIX}MAINTENANCE_CRON is no line that Celery reads ({line!r}): {error}") from None


@shared_task(name=MAINTAIN, ignore_result=True)  # type: ignore[untyped-decorator]
def maintain_log() -> None:
    """Make the log's partitions ahead and drop the old ones.

    Raises:
        LogUnavailable: see `retention.maintain`; Celery logs it, and the next run does the work.
    """
    from flask import current_app

    settings = current()
    url = log_url(settings, str(current_app.config["SQLALCHEMY_DATABASE_URI"]))
    if url is not None:
        with closing(LogDatabase(url)) as database:
            maintain(database, settings)
