"""`GET /recommendations`."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from superset_ext.host.explaining import may_ask
from superset_ext.monitor.advice.recommend import recommend
from superset_ext.package import package, this_app
from superset_ext.plans import kept
from superset_ext.plans.upkeep import kept as upkeep
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route

MOST = 100  # findings that are told


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


class SlowQueryFinding(Answer):
    """Something in the latest plan of a slow statement."""

    fingerprint = fields.String(metadata={"description": "Of the statement; its plans are under /plans/<fingerprint>"})
    taken_at = fields.DateTime()
    database_id = fields.Integer()
    database = fields.String()
    dataset = fields.String(metadata={"description": "That the statement took most time for"})
    chart = fields.String(metadata={"description": "That the statement took most time for"})
    kind = fields.String(metadata={"description": "The rule that says so"})
    evidence = fields.String(metadata={"description": "What was seen, in a sentence"})
    advice = fields.String(metadata={"description": "What to do"})
    next_step = fields.String(metadata={"description": "What to run or look at next"})
    gain = fields.Float(metadata={"description": "Share of the statement's time that it can save at most"})
    sure = fields.String(metadata={"description": "certain, likely or possible"})
    seconds = fields.Float(metadata={"description": "Of the statement in the last week"})
    seconds_at_most = fields.Float(metadata={"description": "Of these, that it can save at most"})


class UpkeepFinding(Answer):
    """Something that a source needs for itself."""

    database_id = fields.Integer()
    at = fields.DateTime(metadata={"description": "When it was looked at"})
    since = fields.DateTime(metadata={"description": "Since when it has been so"})
    kind = fields.String(metadata={"description": "The check that says so"})
    severity = fields.String(metadata={"description": "critical, warning or notice"})
    subject = fields.String()
    evidence = fields.String(metadata={"description": "What was seen, in a sentence"})
    numbers = fields.Dict(metadata={"description": "The figures of that sentence"})
    advice = fields.String(metadata={"description": "What to do"})
    command = fields.String(metadata={"description": "A statement for that, which nobody has run"})


class PerformanceRecommendations(Answer):
    """What to set otherwise; what brings most is first. And what sources need, the most urgent first."""

    result = fields.List(fields.Nested(PerformanceRecommendation))
    findings = fields.List(fields.Nested(SlowQueryFinding))
    upkeep = fields.List(fields.Nested(UpkeepFinding))


class RecommendationsApi(Resource):
    """What to set otherwise."""

    @route("/recommendations", "GET", answer=PerformanceRecommendations)
    def recommendations(self) -> dict[str, Any]:
        """What to set otherwise, why, and what it should bring; what slow queries show, and what sources need.

        Of findings and upkeep, there is what concerns databases that whoever asks has access to.
        """
        here = package()
        advice = recommend(this_app(), here.log(), here.settings)
        return {
            "result": [recommendation.as_dict() for recommendation in advice],
            "findings": _open(kept.findings_of(here.log(), MOST)), "upkeep": _open(upkeep.kept(here.log())),
        }  # fmt: skip


def _open(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of databases that the current user may ask."""
    may = {number: may_ask(number) for number in {row["database_id"] for row in rows}}
    return [row for row in rows if may[row["database_id"]]]
