"""`/api/v1/performance`: what the caches are worth, what is slow, and what to set otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from flask import Response, current_app, request
from superset.views.base_api import BaseSupersetApi
from werkzeug.exceptions import RequestEntityTooLarge

from superset_ext.host.permissions import VIEW_MENU
from superset_ext.monitor import report
from superset_ext.monitor.advice.recommend import recommend
from superset_ext.monitor.alerts import rules as alert_rules
from superset_ext.monitor.alerts.evaluate import recent
from superset_ext.web import guard, schemas
from superset_ext.web.guard import route
from superset_ext.web.metrics import exposition

MOST = 1000


class MonitoringApi(BaseSupersetApi):  # type: ignore[misc]
    """What is measured, over HTTP."""

    resource_name = "performance"
    class_permission_name = VIEW_MENU
    method_permission_name = {  # noqa: RUF012  (as Superset has it)
        "status": "read", "health": "read", "cache_statistics": "read", "slow_queries": "read", "dashboard": "read",
        "recommendations": "read", "metrics": "read", "alerts": "read",
        "add_alert": "write", "change_alert": "write", "remove_alert": "write",
    }  # fmt: skip
    allow_browser_login = True
    csrf_exempt = True  # see `guard.guarded`
    openapi_spec_tag = VIEW_MENU
    openapi_spec_component_schemas = (schemas.AlertRuleSchema,)

    @route("/status", "GET")
    def status(self) -> Response:
        """Each cache: its server, its memory, its hits and misses of the last day.
        ---
        get:
          summary: The caches and their servers
          responses:
            200:
              description: Each region
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            503:
              description: The log database is away
        """
        package = guard.package()
        rows = report.status(current_app, package.database, package.settings)
        return self.response(200, regions=rows, left_alone=package.left_alone)  # type: ignore[no-any-return]

    @route("/health", "GET")
    def health(self) -> Response:
        """Whether all that the package needs answers.
        ---
        get:
          summary: Whether the caches and the log answer
          responses:
            200:
              description: All of them do
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            503:
              description: One does not; the body says which
        """
        said = report.health(current_app, guard.package().database)
        return self.response(200 if said["healthy"] else 503, **said)  # type: ignore[no-any-return]

    @route("/cache/statistics", "GET")
    def cache_statistics(self) -> Response:
        """What each cache did in the last day.
        ---
        get:
          summary: Hits, misses by reason, times and bytes of each cache, of the last day
          responses:
            200:
              description: Each cache that was asked
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            503:
              description: The log database is away
        """
        return self.response(200, result=_json(report.statistics(guard.log())))  # type: ignore[no-any-return]

    @route("/dashboard", "GET")
    def dashboard(self) -> Response:
        """The figures of the performance dashboards in one answer.
        ---
        get:
          summary: Caches of the last day, the slowest queries, and how old the views are
          responses:
            200:
              description: The figures
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            503:
              description: The log database is away
        """
        log = guard.log()
        return self.response(  # type: ignore[no-any-return]
            200, caches=_json(report.statistics(log)), slow_queries=_json(report.slow_queries(log, 10, 0)),
            refreshes=_json(report.refreshes(log)),
        )  # fmt: skip

    @route("/slow-queries", "GET")
    def slow_queries(self) -> Response:
        """The statements of the last week that cost most.
        ---
        get:
          summary: The statements that cost most
          parameters:
          - in: query
            name: limit
            schema:
              type: integer
              minimum: 1
              maximum: 1000
              default: 50
          - in: query
            name: min_duration_ms
            description: Only those that once took so long
            schema:
              type: number
              minimum: 0
              default: 0
          responses:
            200:
              description: The statements, their SQL without values
            400:
              $ref: '#/components/responses/400'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            503:
              description: The log database is away
        """
        try:
            limit = int(request.args.get("limit", 50))
            slow = float(request.args.get("min_duration_ms", 0))
        except ValueError:
            return self.response_400(message="limit and min_duration_ms are numbers")  # type: ignore[no-any-return]
        if not (1 <= limit <= MOST and 0 <= slow < float("inf")):
            return self.response_400(  # type: ignore[no-any-return]
                message=f"limit is from 1 to {MOST}, and min_duration_ms is not negative"
            )
        return self.response(  # type: ignore[no-any-return]
            200, result=_json(report.slow_queries(guard.log(), limit, slow))
        )

    @route("/recommendations", "GET")
    def recommendations(self) -> Response:
        """What to set otherwise, with the evidence.
        ---
        get:
          summary: What to set otherwise, why, and what it should bring
          responses:
            200:
              description: What brings most first
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            503:
              description: The log database is away
        """
        found = recommend(current_app, guard.log(), guard.package().settings)
        return self.response(200, result=_json([each.as_dict() for each in found]))  # type: ignore[no-any-return]

    @route("/alerts", "GET")
    def alerts(self) -> Response:
        """The rules, and the alerts of the last 30 days.
        ---
        get:
          summary: Alert rules, and the alerts of the last 30 days
          responses:
            200:
              description: Rules and alerts
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            503:
              description: The log database is away
        """
        log = guard.log()
        return self.response(  # type: ignore[no-any-return]
            200, rules=_json(alert_rules.rules(log)), alerts=_json(recent(log))
        )

    @route("/alerts", "POST")
    def add_alert(self) -> Response:
        """Add a rule.
        ---
        post:
          summary: Add an alert rule
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  $ref: '#/components/schemas/AlertRuleSchema'
          responses:
            201:
              description: The rule's id
            400:
              $ref: '#/components/responses/400'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            413:
              description: The body is over 64 KB
            503:
              description: The log database is away
        """
        return self._told(lambda said: (201, {"id": alert_rules.add(guard.log(), alert_rules.parse(said))}))

    @route("/alerts/<int:number>", "PUT")
    def change_alert(self, number: int) -> Response:
        """Change some fields of a rule.
        ---
        put:
          summary: Change an alert rule
          parameters:
          - in: path
            name: number
            required: true
            schema:
              type: integer
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  $ref: '#/components/schemas/AlertRuleSchema'
          responses:
            200:
              description: The rule as it is now
            400:
              $ref: '#/components/responses/400'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            413:
              description: The body is over 64 KB
            503:
              description: The log database is away
        """
        return self._told(lambda said: (200, alert_rules.change(guard.log(), number, said).model_dump()))

    @route("/alerts/<int:number>", "DELETE")
    def remove_alert(self, number: int) -> Response:
        """Remove a rule; a built-in one is switched off.
        ---
        delete:
          summary: Remove an alert rule
          parameters:
          - in: path
            name: number
            required: true
            schema:
              type: integer
          responses:
            200:
              description: Whether it was removed or switched off
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            404:
              $ref: '#/components/responses/404'
            503:
              description: The log database is away
        """
        try:
            return self.response(200, result=alert_rules.remove(guard.log(), number))  # type: ignore[no-any-return]
        except alert_rules.AlertError:
            return self.response_404()  # type: ignore[no-any-return]

    def _told(self, verb: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]) -> Response:
        """What came of a body that is a JSON object."""
        try:
            status, said = verb(schemas.an_object(guard.body()))
        except RequestEntityTooLarge:
            return guard.too_large(self)
        except (schemas.BadRequest, alert_rules.AlertError) as error:
            return self.response_400(message=str(error))  # type: ignore[no-any-return]
        return self.response(status, **said)  # type: ignore[no-any-return]

    @route("/metrics", "GET")
    def metrics(self) -> Response:
        """The caches in Prometheus' own format.
        ---
        get:
          summary: Metrics for Prometheus
          responses:
            200:
              description: The metrics
              content:
                text/plain:
                  schema:
                    type: string
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            503:
              description: The log database is away
        """
        text, kind = exposition(guard.log())
        return Response(text, content_type=kind)


def _json(value: Any) -> Any:
    """What a database gives, as JSON has it; moments and days in ISO 8601."""
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
