"""Starts the run that follows a change: what people use of the dropped answers is warmed again."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery

from superset_ext.cache.tags import ANY
from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import Settings, Targets
from superset_ext.warm import service

QUIET_SECONDS = 3  # without another change of the same, so that a load of many statements is warmed once
LATEST_SECONDS = 60
_STARTED = "UPDATE superset_ext.cache_invalidation_log SET rewarm_run_id = %s WHERE id = ANY(%s)"
_COUNTED = """
UPDATE superset_ext.cache_invalidation_log l SET rewarmed = e.entries
FROM (SELECT run_id, count(*) AS entries FROM superset_ext.cache_warm_entry GROUP BY run_id) e
WHERE e.run_id = l.rewarm_run_id AND l.rewarmed < e.entries AND l.created_at > now() - interval '1 hour'
"""


def rewarm(celery: Celery, database: LogDatabase, settings: Settings) -> str | None:
    """Start a run for what changed, and count what earlier ones stored; the run's id, `None` where nothing is due.

    Raises:
        WarmError: the broker takes no message.
        LogUnavailable: the log database does not answer.
    """
    with database.transaction() as cursor:
        cursor.execute(_COUNTED)
    if not settings.rewarm:
        return None
    (due,) = database.query("changes_to_rewarm", {"any": ANY, "latest": LATEST_SECONDS, "quiet": QUIET_SECONDS})
    tags: Sequence[str] | None = due["tags"]
    if not tags:
        return None
    wanted = {"changed": tuple(sorted(tags)), "budget_seconds": settings.rewarm_budget_seconds}
    options = Targets.model_validate(wanted)
    run_id, _ = service.start(celery, database, options, "rewarm")
    with database.transaction() as cursor:
        cursor.execute(_STARTED, (run_id, due["ids"]))
    return run_id
