"""`GET /slow-queries`."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from pydantic import BaseModel, Field

from superset_ext.monitor import report
from superset_ext.package import package
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route


class SlowQueryFilter(BaseModel):
    """Which statements are asked for."""

    limit: int = Field(50, ge=1, le=1000, description="How many at most")
    min_duration_ms: float = Field(0, ge=0, allow_inf_nan=False, description="Only those that once took so long")


class SlowQuery(Answer):
    """A statement that a chart sent on one day."""

    day = fields.Date()
    fingerprint = fields.String(metadata={"description": "Of the statement without its values"})
    sql = fields.String(allow_none=True, metadata={"description": "Its beginning, without values"})
    database = fields.String(allow_none=True)
    dataset = fields.String(allow_none=True)
    chart = fields.String(allow_none=True)
    dashboard = fields.String(allow_none=True)
    runs = fields.Integer()
    errors = fields.Integer(metadata={"description": "Runs that failed"})
    mean_ms = fields.Float(allow_none=True)
    p95_ms = fields.Float(allow_none=True)
    max_ms = fields.Float(allow_none=True)
    total_seconds = fields.Float(metadata={"description": "Of all its runs"})


class SlowQueries(Answer):
    """The statements of the last week that cost most, the costliest first."""

    result = fields.List(fields.Nested(SlowQuery))


class SlowQueriesApi(Resource):
    """What is slow."""

    @route("/slow-queries", "GET", query=SlowQueryFilter, answer=SlowQueries)
    def slow_queries(self, query: SlowQueryFilter) -> dict[str, Any]:
        """The statements of the last week that cost most, the costliest first."""
        return {"result": report.slow_queries(package().log(), query.limit, query.min_duration_ms)}
