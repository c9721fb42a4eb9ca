"""What to set otherwise, with its evidence and what it should bring. Nothing is changed here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from superset_ext.cache.region import RegionCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.advice import charts, regions, schedules, timeouts
from superset_ext.monitor.advice.look import Facts, Kind, Look, Recommendation
from superset_ext.settings import Settings

__all__ = ["KINDS", "Facts", "Recommendation", "facts_of", "recommend", "timeouts_by_hand"]

_NOW = "SELECT now() AS now"
_MODE = "DASHBOARD_AUTO_REFRESH_MODE"  # Superset's own; `force` where it is not set

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
    found = [each for kind in KINDS for each in kind(look)]
    return sorted(found, key=lambda each: -each.seconds)


def facts_of(app: Any) -> Facts:
    """What Superset and the cache servers say; needs the app's context."""
    caches = [*app.extensions.get("cache", {}).values(), app.config.get("RESULTS_BACKEND")]
    servers = {str(each.region): each.server_info() for each in caches if isinstance(each, RegionCache)}
    return Facts(servers, dict(timeouts_by_hand()), dict(_refreshing()), app.config.get(_MODE, "force") == "force")


def timeouts_by_hand() -> Iterator[tuple[int, float]]:
    """Seconds that people have set in Superset, by dataset, for it or for its database; needs the app's context."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database

    found = db.session.query(SqlaTable.id, SqlaTable._cache_timeout, Database.cache_timeout).join(Database)
    for dataset, own, of_database in found:
        seconds = own if own is not None else of_database
        if seconds is not None:
            yield dataset, float(seconds)


def _refreshing() -> Iterator[tuple[int, int]]:
    """Dashboards that refresh by themselves, and every how many seconds."""
    from superset.extensions import db
    from superset.models.dashboard import Dashboard

    for number, metadata in db.session.query(Dashboard.id, Dashboard.json_metadata):
        try:
            seconds = int(json.loads(metadata or "{}").get("refresh_frequency") or 0)
        except (ValueError, TypeError, AttributeError):
            continue
        if seconds > 0:
            yield number, seconds
