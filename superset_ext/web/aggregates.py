"""`GET /aggregates`."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from superset_ext.aggregates.route.report import answering
from superset_ext.host.explaining import may_ask
from superset_ext.package import package
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route


class AggregateSeen(Answer):
    """An aggregate as its source was last looked at, and what it has answered."""

    aggregate = fields.String(metadata={"description": "Its name"})
    database_id = fields.Integer()
    database = fields.String()
    made_of = fields.String(metadata={"description": "The table that it is made of, or that it is a query"})
    state = fields.String(metadata={"description": "exact, behind, building, or off with the reason"})
    answered = fields.Integer(metadata={"description": "Statements of charts that it has answered"})
    saved_seconds = fields.Float(metadata={"description": "By the mean times of both texts, where they were compared"})
    compared = fields.Integer(metadata={"description": "How often both texts were run and compared"})
    differences = fields.Integer(metadata={"description": "How often they gave other rows"})
    failures = fields.Integer(metadata={"description": "How often Superset's own statement had to be sent after it"})
    rows = fields.Integer(allow_none=True)
    bytes = fields.Integer(allow_none=True, metadata={"description": "With indexes"})
    as_of = fields.DateTime(allow_none=True, metadata={"description": "All that was committed by then is in it"})
    upkeep = fields.String(metadata={"description": "How it is kept up, and how often"})
    refused = fields.Integer(metadata={"description": "Statements on its base that were left to Superset"})
    reasons = fields.String(metadata={"description": "The five commonest reasons, each with its number"})


class AggregatesSeen(Answer):
    """The aggregates of the databases that the asker may ask."""

    result = fields.List(fields.Nested(AggregateSeen))


class AggregatesApi(Resource):
    """Small tables that answer charts of large ones."""

    @route("/aggregates", "GET", answer=AggregatesSeen)
    def aggregates(self) -> dict[str, Any]:
        """The aggregates, with what charts they have answered, and why others were left to Superset.

        Of databases that Superset lets the asker ask; of others nothing is said.
        """
        rows = answering(package().log())
        allowed = {number for number in {row["database_id"] for row in rows} if may_ask(number)}
        return {"result": [row for row in rows if row["database_id"] in allowed]}
