"""`GET /recommendations`."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from superset_ext.monitor.advice.recommend import recommend
from superset_ext.package import package, this_app
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route


class Evidence(Answer):
    """What a recommendation stands on."""

    numbers = fields.Dict(metadata={"description": "The figures"})
    sql = fields.String(metadata={"description": "The query that gives them, as it runs in psql"})


class PerformanceRecommendation(Answer):
    """Something to set."""

    kind = fields.String()
    subject = fields.String(metadata={"description": "What it is about, as dataset:12"})
    name = fields.String(metadata={"description": "What people call the subject"})
    finding = fields.String(metadata={"description": "What was found, in a sentence"})
    evidence = fields.Nested(Evidence)
    set = fields.String(metadata={"description": "A setting with its value, or a command"})
    brings = fields.String(metadata={"description": "What it should bring, in words"})
    estimated_seconds_a_day = fields.Float(metadata={"description": "Database seconds that it should save"})


class PerformanceRecommendations(Answer):
    """What to set otherwise; what brings most is first."""

    result = fields.List(fields.Nested(PerformanceRecommendation))


class RecommendationsApi(Resource):
    """What to set otherwise."""

    @route("/recommendations", "GET", answer=PerformanceRecommendations)
    def recommendations(self) -> dict[str, Any]:
        """What to set otherwise, why, and what it should bring."""
        here = package()
        advice = recommend(this_app(), here.log(), here.settings)
        return {"result": [recommendation.as_dict() for recommendation in advice]}
