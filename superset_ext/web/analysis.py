"""`POST /analyze-query` and `POST /optimize-query`."""

from __future__ import annotations

from typing import Any, Literal

from marshmallow import fields
from pydantic import BaseModel, ConfigDict, Field

from superset_ext.errors import NotAllowed
from superset_ext.host.explaining import Asking, connected
from superset_ext.host.own_sql import is_admin, own_sql
from superset_ext.package import package
from superset_ext.plans.estimate import estimate
from superset_ext.plans.one_select import one_select
from superset_ext.plans.postgresql import ENGINE
from superset_ext.plans.review import review
from superset_ext.plans.rewrite import ADVICE, ALL, AUTOMATIC
from superset_ext.plans.rewrite.comparison import compare
from superset_ext.web.openapi import Answer
from superset_ext.web.plans import PlanConsidered, PlanFinding
from superset_ext.web.resource import Resource, route

SECONDS = 10.0  # that a statement may take on the source
_REFUSED = {
    503: "",  # a log that is away is no reason to answer nothing
    403: "The permission is missing, or SQL Lab would not run this statement for you",
    400: "It is not one SELECT that only reads, the source does not explain it, or the body is not valid",
}
Level = Literal["automatic", "advice", "all"]
_RULES = {"automatic": AUTOMATIC, "advice": (*AUTOMATIC, *ADVICE), "all": ALL}


class OwnQuery(BaseModel):
    """A query and where it goes."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, description="One SELECT, as it would be sent")
    database: int | str = Field(description="Id or name of Superset's database")
    schema_: str | None = Field(None, alias="schema", description="Where names without a schema are looked up")


class QueryToAnalyze(OwnQuery):
    """A query to explain."""

    analyze: bool = Field(False, description="Run it, roll it back, and say what that took; for administrators")


class QueryToOptimize(OwnQuery):
    """A query to write in another way."""

    optimization_level: Level = Field(
        "advice",
        description="`automatic`: rules that always help; `advice`: those that often do too; `all`: also why others do "
        "not apply",
    )
    run: bool = Field(False, description="Run both, and compare times and rows; for administrators")


class QueryEstimate(Answer):
    """What a query would take, by what plans of like cost took on the same source."""

    seconds = fields.Float(allow_none=True, metadata={"description": "Half of them took less for a unit of cost"})
    seconds_least = fields.Float(allow_none=True, metadata={"description": "Eight of ten are between this"})
    seconds_most = fields.Float(allow_none=True, metadata={"description": "and this"})
    plans = fields.Integer(metadata={"description": "That it stands on"})
    reason = fields.String(allow_none=True, metadata={"description": "Why it is not known"})


class AnalyzedQuery(Answer):
    """A plan, and what it shows."""

    estimate = fields.Nested(QueryEstimate)

    drawing = fields.String(metadata={"description": "The plan as a tree, in letters of one width"})
    plan = fields.Dict(metadata={"description": "The plan, without values"})
    findings = fields.List(fields.Nested(PlanFinding))
    considered = fields.List(fields.Nested(PlanConsidered))


class QueryText(Answer):
    """One of both texts."""

    sql = fields.String()
    cost = fields.Float(metadata={"description": "The planner's estimate"})
    ms = fields.Float(allow_none=True, metadata={"description": "Of the quickest run"})


class AppliedRule(Answer):
    """A rule that changed the query."""

    rule = fields.String()
    automatic = fields.Boolean(metadata={"description": "Whether it always helps where it applies"})
    changed = fields.List(fields.String())
    times = fields.Float(metadata={"description": "How many times as fast it should be"})


class RefusedRule(Answer):
    """A rule that did not apply."""

    rule = fields.String()
    reasons = fields.List(fields.String())


class OptimizedQuery(Answer):
    """A query, and how it could be written with the same answer."""

    original = fields.Nested(QueryText)
    rewritten = fields.Nested(QueryText, allow_none=True, metadata={"description": "None where no rule applies"})
    rows = fields.Integer(allow_none=True, metadata={"description": "Of both, if they were run"})
    equal = fields.Boolean(allow_none=True, metadata={"description": "Whether the rows are equal, if they were run"})
    reason = fields.String(allow_none=True, metadata={"description": "Why no rule was asked"})
    only_below_rows = fields.Integer(allow_none=True, metadata={"description": "Sure where fewer rows come back"})
    applied = fields.List(fields.Nested(AppliedRule))
    not_applied = fields.List(fields.Nested(RefusedRule))


class AnalysisApi(Resource):
    """Why a query is slow, and how it could be written."""

    @route("/analyze-query", "POST", body=QueryToAnalyze, answer=AnalyzedQuery, errors=_REFUSED)
    def analyze_query(self, body: QueryToAnalyze) -> dict[str, Any]:
        """The plan of a query, and what costs more in it than it must.

        It is explained, not run, as SQL Lab would send it for whoever asks; values are left out of the answer.
        """
        asking = _asking(body, body.analyze)
        number = int(asking.database.id)
        with connected(asking) as connection:
            one = review(connection, asking.sql, SECONDS, body.analyze, refuses_volatile=True)
        return {**one.as_dict(), "estimate": estimate(package().database, number, one.plan.root.cost).as_dict()}

    @route("/optimize-query", "POST", body=QueryToOptimize, answer=OptimizedQuery, errors=_REFUSED)
    def optimize_query(self, body: QueryToOptimize) -> dict[str, Any]:
        """How a query could be written to be quicker, with the same answer.

        Nothing is changed, and nothing is kept.
        """
        asking, rules = _asking(body, body.run), _RULES[body.optimization_level]
        with connected(asking) as connection:
            return compare(connection, asking.sql, SECONDS, body.run, rules, refuses_volatile=True).as_dict()


def _asking(body: OwnQuery, runs: bool) -> Asking:
    """The query, once it is sure that it only reads and that its sender may run it."""
    select = one_select(body.query, ENGINE)
    if runs and not is_admin():
        raise NotAllowed("only administrators may have it run")
    return own_sql(body.database, select, body.schema_)
