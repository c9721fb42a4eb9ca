"""The Celery task that delivers the outbox and asks the probes, and how often beat runs it.

Celery loads this file outside an app context, so it imports no Superset. The task runs within one.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from superset_ext.freshness.change import Change, changed
from superset_ext.freshness.outbox import deliver
from superset_ext.freshness.probe.schedule import run_due
from superset_ext.freshness.probe.subject import Probed
from superset_ext.package import log_database
from superset_ext.settings import Settings, current

TICK = "superset_ext.freshness_tick"
SECONDS = 5.0
_BEAT = """
INSERT INTO superset_ext.heartbeat (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at
"""


def beat_schedule(_settings: Settings) -> dict[str, dict[str, Any]]:
    """What beat runs for freshness, for Celery's `beat_schedule`."""
    return {TICK: {"task": TICK, "schedule": SECONDS, "options": {"expires": SECONDS * 2}}}


@shared_task(name=TICK, ignore_result=True)  # type: ignore[untyped-decorator]
def freshness_tick() -> None:
    """Deliver the outbox, and ask the probes whose turn it is.

    Raises:
        LogUnavailable: the log database does not answer; the next tick tries again.
        StoreUnavailable: Redis does not answer; the next tick tries again.
    """
    settings = current()
    with log_database() as database:
        if database is None:
            return
        with database.transaction() as cursor:
            cursor.execute(_BEAT, (TICK,))
        deliver(database, changed)
        if "probes" in settings.sources and settings.probes:
            run_due(database, settings.probes, stamp)


def stamp(probed: Probed) -> None:
    """Stamp what a probe is about.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    datasets = () if probed.dataset_id is None else (probed.dataset_id,)
    changed(Change("probe", "data_update", tables=tuple(probed.tables), datasets=datasets))
