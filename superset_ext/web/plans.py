"""`GET /plans/<fingerprint>`."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from marshmallow import fields

from superset_ext.host.explaining import may_ask
from superset_ext.package import package
from superset_ext.plans import kept
from superset_ext.plans.page import CONTENT_SECURITY, page
from superset_ext.plans.review import review_of
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route

_HEADERS = {"Content-Security-Policy": CONTENT_SECURITY, "X-Content-Type-Options": "nosniff", "Vary": "Accept"}


class PlanFinding(Answer):
    """Something in a plan that costs more than it must."""

    kind = fields.String(metadata={"description": "The rule that says so"})
    node = fields.Integer(allow_none=True, metadata={"description": "Number of the node in the drawing"})
    evidence = fields.String(metadata={"description": "What was seen, in a sentence"})
    numbers = fields.Dict(metadata={"description": "The figures of that sentence"})
    advice = fields.String(metadata={"description": "What to do"})
    gain = fields.Float(metadata={"description": "Share of the query that it can save at most"})
    sure = fields.String(metadata={"description": "certain, likely or possible"})
    next_step = fields.String(metadata={"description": "What to run or look at next"})


class PlanConsidered(Answer):
    """Why a rule that was considered advises nothing."""

    kind = fields.String()
    node = fields.Integer(allow_none=True)
    reason = fields.String()


class KeptPlan(Answer):
    """A plan as it was taken."""

    taken_at = fields.DateTime()
    duration_ms = fields.Float(metadata={"description": "Of the query that led to it"})
    version = fields.Integer(metadata={"description": "Of the source"})
    cost = fields.Float(metadata={"description": "The planner's estimate"})
    rows = fields.Float(metadata={"description": "That the planner expects"})
    shape = fields.String(metadata={"description": "The same for plans that go about it in the same way"})
    drawing = fields.String(metadata={"description": "The plan as a tree, in letters of one width"})
    plan = fields.Dict(metadata={"description": "The plan, without values"})
    findings = fields.List(fields.Nested(PlanFinding))
    considered = fields.List(fields.Nested(PlanConsidered))


class KeptPlans(Answer):
    """The last plans of a statement, the latest first."""

    fingerprint = fields.String()
    sql = fields.String(allow_none=True, metadata={"description": "The statement, without values"})
    database_id = fields.Integer()
    result = fields.List(fields.Nested(KeptPlan))


class PlansApi(Resource):
    """How sources answer slow queries."""

    @route(
        "/plans/<string:fingerprint>",
        "GET",
        answer=KeptPlans,
        errors={404: "No plan of it is kept", 403: "The permission is missing, or access to the statement's database"},
    )
    def plans(self, fingerprint: str) -> dict[str, Any] | Response:
        """The plans that were kept of a statement, with what they show.

        Whoever asks needs Superset's access to the statement's database too. A browser gets a page to read.
        """
        rows = kept.plans_of(package().log(), fingerprint)
        if not rows:
            return self.response_404()  # type: ignore[no-any-return]
        if not may_ask(rows[0]["database_id"]):
            return self.response_403()  # type: ignore[no-any-return]
        if request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html":
            return Response(page(rows), mimetype="text/html", headers=_HEADERS)
        first, plans = rows[0], [{**row, "drawing": review_of(row).drawing} for row in rows]
        return {name: first[name] for name in ("fingerprint", "sql", "database_id")} | {"result": plans}
