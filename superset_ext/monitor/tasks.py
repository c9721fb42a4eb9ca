"""The Celery tasks of the log, and the schedule on which beat runs them.

Celery loads this outside an app context, so it imports no Superset; the tasks run within one. A task that raises
`LogUnavailable` is logged by Celery, and its next turn does the work.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.schedules import ParseException, crontab

from superset_ext.errors import SettingsError
from superset_ext.host.datasets import manual_timeouts
from superset_ext.host.names import object_names
from superset_ext.host.regions import regions
from superset_ext.monitor.advice import kept
from superset_ext.monitor.advice.tune import tune
from superset_ext.monitor.alerts.evaluate import evaluate
from superset_ext.monitor.alerts.notify import Outbox, deliver
from superset_ext.monitor.log.retention import maintain
from superset_ext.monitor.rollup.views import make_missing, refresh
from superset_ext.monitor.samples.databases import sample_databases
from superset_ext.monitor.samples.regions import sample_regions
from superset_ext.package import log_database, this_app
from superset_ext.settings import PREFIX, Settings, current

MAINTAIN = "superset_ext.maintain_log"
SAMPLE = "superset_ext.sample_tick"
REFRESH = "superset_ext.refresh_tick"
ALERT = "superset_ext.alert_tick"
DELIVER = "superset_ext.deliver_tick"
TUNE = "superset_ext.tune"
SAMPLE_SECONDS = 60.0
DELIVER_SECONDS = 30.0
TUNE_SECONDS = 600.0


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The entries of these tasks for Celery's `beat_schedule`.

    Raises:
        SettingsError: Celery cannot read the cron line.
    """
    every = {REFRESH: settings.refresh_seconds, ALERT: settings.alert_seconds}
    if settings.alert_urls:
        every[DELIVER] = DELIVER_SECONDS
    if settings.sampling:
        every[SAMPLE] = SAMPLE_SECONDS
    if settings.auto_apply:
        every[TUNE] = TUNE_SECONDS
    return {
        MAINTAIN: {"task": MAINTAIN, "schedule": _crontab(settings.maintenance_cron)},
        # A turn that was missed is not made up for.
        **{
            name: {"task": name, "schedule": interval, "options": {"expires": interval}}
            for name, interval in every.items()
        },
    }


def _crontab(line: str) -> crontab:
    try:
        return crontab.from_string(line)
    except (ParseException, ValueError) as error:
        raise SettingsError(f"{PREFIX}MAINTENANCE_CRON is no line that Celery reads ({line!r}): {error}") from None


@shared_task(name=MAINTAIN, ignore_result=True)  # type: ignore[untyped-decorator]
def maintain_log() -> None:
    """Make the partitions of the coming days, and delete what is too old."""
    with log_database() as database:
        if database is not None:
            maintain(database, current())


@shared_task(name=SAMPLE, ignore_result=True, soft_time_limit=45, time_limit=55)  # type: ignore[untyped-decorator]
def sample_tick() -> None:
    """Write a sample of the cache servers and of the source databases."""
    with log_database() as database:
        if database is not None:
            sample_regions(regions(this_app()), database, current())
            sample_databases(this_app(), database, current())


@shared_task(name=REFRESH, ignore_result=True)  # type: ignore[untyped-decorator]
def refresh_tick() -> None:
    """Roll up the logs, refresh the views and the recommendations; make views that are missing."""
    with log_database() as database:
        if database is not None:
            make_missing(database)
            advice = kept.steps(this_app(), database, current())
            refresh(database, current().slow_query_ms, object_names, advice)


@shared_task(name=ALERT, ignore_result=True)  # type: ignore[untyped-decorator]
def alert_tick() -> None:
    """Evaluate all alert rules. A task of its own sends the notices, since a mail server may take long."""
    with log_database() as database:
        if database is not None:
            evaluate(database, current(), slow_query_ms=current().slow_query_ms)


@shared_task(name=DELIVER, ignore_result=True)  # type: ignore[untyped-decorator]
def deliver_tick() -> None:
    """Send the notices that are due."""
    with log_database() as database:
        if database is not None:
            config = this_app().config
            deliver(database, Outbox(current().alert_urls, config, config["SECRET_KEY"]))


@shared_task(name=TUNE, ignore_result=True)  # type: ignore[untyped-decorator]
def tune_timeouts() -> None:
    """Take one turn of tuning."""
    with log_database() as database:
        if database is not None:
            tune(database, current(), by_hand=manual_timeouts())
