"""The Celery tasks of the log, and when beat runs them.

Celery loads this outside an app context, so it imports no Superset; the tasks run within one.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.schedules import ParseException, crontab

from superset_ext.errors import SettingsError
from superset_ext.host.datasets import manual_timeouts
from superset_ext.host.names import object_names
from superset_ext.monitor.advice.tune import tune
from superset_ext.monitor.alerts import evaluate as alerts
from superset_ext.monitor.alerts import notify
from superset_ext.monitor.log.retention import maintain
from superset_ext.monitor.rollup.views import apply_views, refresh
from superset_ext.monitor.samples.sampling import take
from superset_ext.package import log_database
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
    """What beat runs for us, to be merged into Celery's `beat_schedule`.

    Raises:
        SettingsError: the cron line is one that Celery cannot read.
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
        **{name: {"task": name, "schedule": each, "options": {"expires": each}} for name, each in every.items()},
    }


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
    with log_database() as database:
        if database is not None:
            maintain(database, current())


@shared_task(name=SAMPLE, ignore_result=True, soft_time_limit=45, time_limit=55)  # type: ignore[untyped-decorator]
def sample_tick() -> None:
    """Write a sample of the cache servers and the source databases.

    Raises:
        LogUnavailable: see `sampling.take`; the next minute has its own.
    """
    from flask import current_app

    with log_database() as database:
        if database is not None:
            take(current_app._get_current_object(), database, current())  # type: ignore[attr-defined]


@shared_task(name=REFRESH, ignore_result=True)  # type: ignore[untyped-decorator]
def refresh_tick() -> None:
    """Fold what is new into the rollups, and refresh the views on them.

    Raises:
        LogUnavailable: see `views.refresh`; the next turn has it all.
        SchemaError: see `views.apply_views`.
    """
    with log_database() as database:
        if database is not None:
            apply_views(database, changed=False)
            refresh(database, current().slow_query_ms, object_names)


@shared_task(name=ALERT, ignore_result=True)  # type: ignore[untyped-decorator]
def alert_tick() -> None:
    """Measure every alert rule. Notices go out in a task of their own, which a mail server may hold up.

    Raises:
        LogUnavailable: see `alerts.evaluate`; the next turn evaluates them.
    """
    with log_database() as database:
        if database is not None:
            alerts.evaluate(database, current(), slow_query_ms=current().slow_query_ms)


@shared_task(name=DELIVER, ignore_result=True)  # type: ignore[untyped-decorator]
def deliver_tick() -> None:
    """Send the notices that are due.

    Raises:
        LogUnavailable: see `notify.deliver`.
    """
    from flask import current_app

    with log_database() as database:
        if database is not None:
            config = current_app.config
            notify.deliver(database, notify.Outbox(current().alert_urls, config, config["SECRET_KEY"]))


@shared_task(name=TUNE, ignore_result=True)  # type: ignore[untyped-decorator]
def tune_timeouts() -> None:
    """Take one turn of tuning.

    Raises:
        LogUnavailable: see `tune.tune`; nothing is changed then.
    """
    with log_database() as database:
        if database is not None:
            tune(database, current(), by_hand=manual_timeouts())
