"""`GET /metrics`."""

from __future__ import annotations

from flask import Response

from superset_ext.monitor.prometheus import exposition
from superset_ext.package import package
from superset_ext.web.resource import Resource, route


class MetricsApi(Resource):
    """What Prometheus scrapes."""

    @route("/metrics", "GET", answer=None, takes_token=True)
    def metrics(self) -> Response:
        """The caches, queries, views and alerts in Prometheus' own format."""
        text, content_type = exposition(package().log())
        return Response(text, content_type=content_type)
