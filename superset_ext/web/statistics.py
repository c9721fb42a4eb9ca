"""`GET /cache/statistics` and `GET /dashboard`."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from superset_ext.events import Miss
from superset_ext.monitor import report
from superset_ext.package import package
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route
from superset_ext.web.slow_queries import SlowQuery

_DASHBOARD_QUERIES = 10


def _milliseconds(text: str) -> fields.Float:
    return fields.Float(allow_none=True, metadata={"description": f"{text}, in milliseconds, within 5 %"})


class CacheCounts(Answer):
    """What a cache region did in the last day, warming's own requests aside."""

    cache_type = fields.String(metadata={"description": "The region"})
    hits = fields.Integer()
    misses = fields.Integer()
    hit_ratio = fields.Float(allow_none=True)
    stale_hits = fields.Integer(metadata={"description": "Of the hits: answered within the grace"})
    coalesced = fields.Integer(metadata={"description": "Of the hits: waited for another caller's query"})
    errors = fields.Integer(metadata={"description": "Reads and writes that failed"})
    bytes_read = fields.Integer()
    bytes_written = fields.Integer()
    saved_seconds = fields.Float(metadata={"description": "Seconds that the answers of the hits had cost"})
    hit_p50_ms = _milliseconds("Half of the hits took at most this")
    hit_p95_ms = _milliseconds("95 % of the hits took at most this")
    miss_p95_ms = _milliseconds("95 % of the misses took at most this")


CacheStatistics = CacheCounts.from_dict(
    {f"miss_{reason}": fields.Integer(metadata={"description": "Misses for this reason"}) for reason in Miss},
    name="CacheStatistics",
)


class CacheStatisticsList(Answer):
    """Each region that was asked in the last day."""

    result = fields.List(fields.Nested(CacheStatistics))


class ViewRefresh(Answer):
    """A view of the performance dashboards."""

    view = fields.String()
    refreshed_at = fields.DateTime(allow_none=True, metadata={"description": "The moment that its numbers are of"})
    seconds_ago = fields.Float(allow_none=True)
    seconds = fields.Float(allow_none=True, metadata={"description": "Seconds that the refresh took"})
    rows = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True, metadata={"description": "Why the last refresh failed"})


class PerformanceFigures(Answer):
    """The figures of the performance dashboards."""

    caches = fields.List(fields.Nested(CacheStatistics))
    slow_queries = fields.List(fields.Nested(SlowQuery))
    refreshes = fields.List(fields.Nested(ViewRefresh))


class StatisticsApi(Resource):
    """What the caches do."""

    @route("/cache/statistics", "GET", answer=CacheStatisticsList)
    def cache_statistics(self) -> dict[str, Any]:
        """Hits, misses by reason, times and bytes of each cache region, of the last day."""
        return {"result": report.statistics(package().log())}

    @route("/dashboard", "GET", answer=PerformanceFigures)
    def dashboard(self) -> dict[str, Any]:
        """The cache regions of the last day, the slowest queries, and how old the views are."""
        log = package().log()
        slow = report.slow_queries(log, _DASHBOARD_QUERIES, 0)
        return {"caches": report.statistics(log), "slow_queries": slow, "refreshes": report.refreshes(log)}
