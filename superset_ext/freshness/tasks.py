"""The Celery task that tells what waits in the outbox and asks probes, and when beat runs it.

Celery loads this outside an app context, so it imports no Superset; the task runs within one.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from superset_ext.freshness.change import Change, changed
from superset_ext.freshness.log import tell_again
from superset_ext.freshness.probe.schedule import Probed, run_due
from superset_ext.package import log_database
from superset_ext.settings import Settings, current

TICK = "superset_ext.freshness_tick"
SECONDS = 5.0
_BEAT = """
INSERT INTO superset_ext.heartbeat (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at
"""


def beat_schedule(_settings: Settings) -> dict[str, dict[str, Any]]:
    """What beat runs for us, to be merged into Celery's `beat_schedule`."""
    return {TICK: {"task": TICK, "schedule": SECONDS, "options": {"expires": SECONDS * 2}}}


@shared_task(name=TICK, ignore_result=True)  # type: ignore[untyped-decorator]
def freshness_tick() -> None:
    """Tell what Redis could not be told before, and ask the sources whose turn it is.

    Raises:
        LogUnavailable: the log database does not answer; the next tick does it.
        StoreUnavailable: Redis cannot be told; the next tick does it.
    """
    settings = current()
    with log_database() as database:
        if database is None:
            return
        with database.transaction() as cursor:
            cursor.execute(_BEAT, (TICK,))
        tell_again(database, changed)
        if "probes" in settings.sources and settings.probes:
            run_due(database, settings.probes, _stamp)


def _stamp(probed: Probed) -> None:
    datasets = () if probed.dataset_id is None else (probed.dataset_id,)
    changed(Change("probe", "data_update", tables=tuple(probed.tables), datasets=datasets))
