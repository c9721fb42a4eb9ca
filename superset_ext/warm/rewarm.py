"""What follows a change: entries that were asked for by chart or dashboard go, and what people use is warmed again.

An entry is shared by all charts that ask the same, but carries the chart and the dashboard of whoever stored it; the
registry knows the keys of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery

from superset_ext.cache.tags import ANY
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable, StoreUnavailable
from superset_ext.events import changed
from superset_ext.freshness.change import Change, Told
from superset_ext.settings import Settings, Targets
from superset_ext.warm import service

logger = logging.getLogger(__name__)

QUIET_SECONDS = 3  # without another change of the same, so that a load of many statements is warmed once
LATEST_SECONDS = 60
_KEYS = """
SELECT DISTINCT unnest(s.cache_keys) AS key
FROM superset_ext.cache_request r JOIN superset_ext.cache_request_scope s USING (fingerprint)
WHERE r.chart_id = ANY(%(charts)s) OR r.dashboard_id = ANY(%(dashboards)s)
"""
# One run for all that changed and has been quiet since, or has waited for long enough.
_DUE = """
SELECT array_agg(l.id) AS ids, array_agg(DISTINCT t.tag) AS tags
FROM superset_ext.cache_invalidation_log l CROSS JOIN LATERAL unnest(l.tags) AS t (tag)
WHERE l.rewarm_run_id IS NULL AND l.requests_affected > 0 AND t.tag <> %(any)s
    AND l.created_at > now() - interval '15 minutes'
    AND (l.created_at < now() - make_interval(secs => %(latest)s) OR NOT EXISTS (
        SELECT FROM superset_ext.cache_invalidation_log later
        WHERE later.created_at > now() - make_interval(secs => %(quiet)s) AND later.tags && l.tags))
"""
_STARTED = "UPDATE superset_ext.cache_invalidation_log SET rewarm_run_id = %s WHERE id = ANY(%s)"
_SETTLED = """
UPDATE superset_ext.cache_invalidation_log l SET rewarmed = e.entries
FROM (SELECT run_id, count(*) AS entries FROM superset_ext.cache_warm_entry GROUP BY run_id) e
WHERE e.run_id = l.rewarm_run_id AND l.rewarmed < e.entries AND l.created_at > now() - interval '1 hour'
"""


def install(database: LogDatabase, region: Callable[[], Any]) -> None:
    """Have the entries of charts and dashboards that changed deleted, whoever stored them."""

    def gone(_source: str, event: Told) -> None:
        change: Change = event.change
        if not change.charts and not change.dashboards:
            return
        try:
            values = {"charts": list(change.charts), "dashboards": list(change.dashboards)}
            keys = [row["key"] for row in database.rows(_KEYS, values)]
        except LogUnavailable as error:
            raise StoreUnavailable(f"which keys belong to the charts is not known now ({error})") from None
        if keys and len(region().delete_many(*keys)) < len(keys):
            logger.debug("superset_ext: some of %d keys had gone already", len(keys))

    changed.connect(gone, weak=False)


def follow(celery: Celery, database: LogDatabase, settings: Settings) -> str | None:
    """Start a run for what changed, if there is something, and note what earlier ones stored; the run's id.

    Raises:
        WarmError: see `service.start`.
        LogUnavailable: the log database does not answer.
    """
    with database.transaction() as cursor:
        cursor.execute(_SETTLED)
    if not settings.rewarm:
        return None
    values = {"any": ANY, "latest": LATEST_SECONDS, "quiet": QUIET_SECONDS}
    (due,) = database.rows(_DUE, values)
    tags: Sequence[str] | None = due["tags"]
    if not tags:
        return None
    said = {"changed": tuple(sorted(tags)), "budget_seconds": settings.rewarm_budget_seconds}
    options = Targets.model_validate(said)
    run_id, _ = service.start(celery, database, options, "rewarm")
    with database.transaction() as cursor:
        cursor.execute(_STARTED, (run_id, due["ids"]))
    return run_id
