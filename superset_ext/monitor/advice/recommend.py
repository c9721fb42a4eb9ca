"""What to set otherwise, with its evidence and what it should bring. Nothing is changed here."""

from __future__ import annotations

from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.host.dashboards import auto_refreshes, auto_refreshes_force
from superset_ext.host.datasets import manual_timeouts
from superset_ext.host.regions import regions as held_regions
from superset_ext.monitor.advice import charts, regions, schedules, timeouts
from superset_ext.monitor.advice.look import Facts, Kind, Look, Recommendation
from superset_ext.settings import Settings

__all__ = ["KINDS", "Facts", "Recommendation", "facts_of", "recommend"]

_NOW = "SELECT now() AS now"

KINDS: tuple[Kind, ...] = (
    regions.policies,
    timeouts.timeouts,
    regions.too_small,
    charts.too_large,
    charts.forced,
    schedules.missing,
    schedules.unread,
    regions.compression,
    regions.unread,
)


def recommend(app: Any, database: LogDatabase, settings: Settings, facts: Facts | None = None) -> list[Recommendation]:
    """All that the log speaks for, what brings most first.

    Args:
        app: Superset's, in whose context this is called.
        facts: what Superset and the servers say; asked of them where not given.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    now = database.rows(_NOW)[0]["now"]
    look = Look(database, settings, now, facts or facts_of(app))
    recommendations = [recommendation for kind in KINDS for recommendation in kind(look)]
    return sorted(recommendations, key=lambda recommendation: -recommendation.seconds)


def facts_of(app: Any) -> Facts:
    """What Superset and the cache servers say; needs the app's context."""
    servers = {name: cache.server_info() for name, cache in held_regions(app).items()}
    refreshes = {dashboard.dashboard_id: dashboard.seconds for dashboard in auto_refreshes()}
    return Facts(servers, manual_timeouts(), refreshes, auto_refreshes_force(app))
