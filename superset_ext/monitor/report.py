"""What the command line and the REST API say of the caches."""

from __future__ import annotations

from typing import Any

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.redis.place import safe_url
from superset_ext.cache.region import RegionCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable, StoreUnavailable
from superset_ext.host.regions import regions
from superset_ext.settings import Region, Settings

_LAST_DAY = (
    "SELECT cache_type, SUM(cache_hits) AS hits, SUM(cache_misses) AS misses FROM superset_ext.cache_performance_log"
    " WHERE created_at >= now() - interval '1 day' GROUP BY cache_type"
)
_WATCHED = "SELECT database_id, count(*) AS tables FROM superset_ext.cache_watch GROUP BY 1 ORDER BY 1"
_SLOW = """
SELECT (day AT TIME ZONE 'UTC')::date AS day, fingerprint, sql, database, dataset, chart, dashboard, runs, errors,
    mean_ms, p95_ms, max_ms, total_seconds
FROM superset_ext.perf_slow_query
WHERE max_ms >= %s AND day >= date_trunc('day', now(), 'UTC') - interval '7 days' ORDER BY total_seconds DESC LIMIT %s
"""
_REFRESHES = "SELECT view, refreshed_at, seconds_ago, seconds, rows, error FROM superset_ext.perf_refresh ORDER BY view"


def status(app: Any, database: LogDatabase | None, settings: Settings) -> list[dict[str, Any]]:
    """Each region: its server, its memory in bytes, its hits and misses of the last day.

    Hits and misses are `None` where there is no log database, so that nobody counts them.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    counts = None if database is None else {row["cache_type"]: row for row in database.rows(_LAST_DAY)}
    return [
        _region(settings, name, cache, None if counts is None else counts.get(name, {}))
        for name, cache in regions(app).items()
    ]


def _region(settings: Settings, name: str, cache: RegionCache, counts: dict[str, Any] | None) -> dict[str, Any]:
    info = cache.server_info()
    hits, misses = (None if counts is None else int(counts.get(key) or 0) for key in ("hits", "misses"))
    return {
        "region": name,
        "server": safe_url(settings.region_url(Region(name))),
        "reachable": info is not None,
        "used_memory": info.used_memory if info else None,
        "policy": info.policy if info else None,
        "hits": hits,
        "misses": misses,
        "hit_ratio": _ratio(hits or 0, misses or 0),
    }


def _ratio(hits: int, misses: int) -> float | None:
    return round(hits / (hits + misses), 4) if hits + misses else None


def watched(app: Any, database: LogDatabase | None) -> list[dict[str, Any]]:
    """Each database of which tables are watched: how many, and seconds since its listener was heard.

    The seconds are `None` where it never was, or where the caches cannot say.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    rows = [] if database is None else database.rows(_WATCHED)
    heard = _listeners(app) if rows else {}
    return [{**row, "heard_seconds_ago": heard.get(row["database_id"])} for row in rows]


def _listeners(app: Any) -> dict[int, float]:
    cache = regions(app).get(str(Region.CHART_DATA))
    try:
        return cache.listeners() if isinstance(cache, ChartCache) else {}
    except StoreUnavailable:  # which the row of its region says
        return {}


def health(app: Any, database: LogDatabase | None) -> dict[str, Any]:
    """Whether each region reaches its server, and whether the log database answers, `None` where none is set."""
    reached = {name: cache.server_info() is not None for name, cache in regions(app).items()}
    log = None if database is None else _answers(database)
    return {"healthy": log is not False and all(reached.values()), "regions": reached, "log": log}


def _answers(database: LogDatabase) -> bool:
    try:
        return bool(database.rows("SELECT 1 AS one"))
    except LogUnavailable:
        return False


def statistics(database: LogDatabase) -> list[dict[str, Any]]:
    """What each region did in the last day, as counted in the log: one row a region, with a `miss_` count a reason.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    return [{**row, **row.pop("miss_reasons")} for row in database.query("statistics")]


def slow_queries(database: LogDatabase, limit: int, min_duration_ms: float) -> list[dict[str, Any]]:
    """The statements of the last week that cost most in all, of those that once took so long, as of the last refresh.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    return database.rows(_SLOW, (min_duration_ms, limit))


def refreshes(database: LogDatabase) -> list[dict[str, Any]]:
    """When each view of the performance dashboards was refreshed, and what went wrong.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    return database.rows(_REFRESHES)
