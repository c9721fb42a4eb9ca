"""The recommendations as rows, with which the dashboards begin: worked out now and then, since that reads a week."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.advice.look import Recommendation
from superset_ext.monitor.advice.recommend import recommend
from superset_ext.settings import Settings

STEP = "recommendations"  # as `view_refresh` names it
SECONDS = 600.0  # between two times that they are worked out
_IS_FRESH = """
SELECT 1 AS one FROM superset_ext.view_refresh
WHERE view = %s AND error IS NULL AND refreshed_at > now() - make_interval(secs => %s)
"""


def steps(app: Any, database: LogDatabase, settings: Settings) -> Mapping[str, Callable[[], int]]:
    """What a refresh of the views has to do for the recommendations: one step, or none while they are fresh.

    Args:
        app: Superset's, in whose context the step is done.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    # The next turn must come before they are old: figures of more than 15 minutes are an alert.
    if database.rows(_IS_FRESH, (STEP, max(0.0, SECONDS - settings.refresh_seconds))):
        return {}
    return {STEP: lambda: keep(database, recommend(app, database, settings))}


def keep(database: LogDatabase, recommendations: Sequence[Recommendation]) -> int:
    """Make `recommendation` these, in their order; returns how many they are.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction() as cursor:
        cursor.execute("LOCK TABLE superset_ext.recommendation IN EXCLUSIVE MODE")
        cursor.execute("DELETE FROM superset_ext.recommendation")
        cursor.executemany(
            database.statement("recommendation_kept"), list(map(_row, recommendations, range(1, 10_000)))
        )
    return len(recommendations)


def _row(advice: Recommendation, place: int) -> dict[str, Any]:
    values = advice.as_dict()
    names = ("kind", "subject", "name", "finding", "setting", "brings", "estimated_seconds_a_day")
    return {name: values[{"setting": "set"}.get(name, name)] for name in names} | {"place": place}
