"""`GET /status` and `GET /health`."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import fields

from superset_ext.monitor import report
from superset_ext.package import package, this_app
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route


class RegionStatus(Answer):
    """A cache region."""

    region = fields.String()
    server = fields.String(metadata={"description": "Its Redis server, without a password"})
    reachable = fields.Boolean(metadata={"description": "Whether the server answers"})
    used_memory = fields.Integer(allow_none=True, metadata={"description": "Bytes that the server uses"})
    policy = fields.String(allow_none=True, metadata={"description": "The server's maxmemory-policy"})
    hits = fields.Integer(allow_none=True, metadata={"description": "Of the last day; null without a log database"})
    misses = fields.Integer(allow_none=True, metadata={"description": "Of the last day; null without a log database"})
    hit_ratio = fields.Float(allow_none=True, metadata={"description": "Of the last day; null without requests"})


class PerformanceStatus(Answer):
    """The cache regions, and what the package could not attach to."""

    regions = fields.List(fields.Nested(RegionStatus))
    left_alone = fields.List(
        fields.String(), metadata={"description": "Functions of Superset that could not be wrapped, each with why"}
    )


class PerformanceHealth(Answer):
    """Whether everything that the package is set to use answers."""

    healthy = fields.Boolean(metadata={"description": "Whether all of it answers"})
    regions = fields.Dict(
        keys=fields.String(), values=fields.Boolean(), metadata={"description": "Whether each region's server answers"}
    )
    log = fields.Boolean(
        allow_none=True, metadata={"description": "Whether the log database answers; null where none is set"}
    )


class StatusApi(Resource):
    """Whether everything works."""

    @route("/status", "GET", answer=PerformanceStatus)
    def status(self) -> dict[str, Any]:
        """Each cache region: its server, its memory, its hits and misses of the last day."""
        here = package()
        rows = report.status(this_app(), here.database, here.settings)
        return {"regions": rows, "left_alone": here.left_alone}

    @route("/health", "GET", answer=PerformanceHealth, errors={503: PerformanceHealth})
    def health(self) -> Response:
        """Whether the caches and the log database answer."""
        answer = report.health(this_app(), package().database)
        return self.response(200 if answer["healthy"] else 503, **answer)  # type: ignore[no-any-return]
