"""`POST /aggregates/propose`, `build`, `refresh`, `check` and `drop`: what the commands of these names do.

All of it is for administrators alone: proposals are made of what everybody has asked, SQL Lab's history among it, and
what they are made of may show its values; the others write to the source. Tables are made and dropped only where SQL
Lab would let them (*Allow DDL and DML*). Like the commands, `build` and `drop` show first what they would do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from typing import Any, Literal

from marshmallow import fields
from pydantic import BaseModel, ConfigDict, Field

from superset_ext.aggregates import service
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.propose.report import as_dict, report
from superset_ext.aggregates.tables.checking import Checked
from superset_ext.aggregates.tables.renewing import Refreshed
from superset_ext.errors import NotAllowed, UnknownDatabase
from superset_ext.host.databases import database_of, database_typed
from superset_ext.host.own_sql import is_admin
from superset_ext.package import package, this_app
from superset_ext.plans.indexes.workload import DAYS
from superset_ext.web.openapi import Answer
from superset_ext.web.resource import Resource, route

_ERRORS = {
    400: "The source refuses, its engine has no aggregates, there is no such aggregate, or the body is not valid",
    403: "The permission is missing, you are no administrator, or Superset does not let you do this on the database",
    503: "The log or the source does not answer",
}


class OnDatabase(BaseModel):
    """A database."""

    model_config = ConfigDict(extra="forbid")

    database: int | str = Field(description="Id or name of Superset's database")


class ToPropose(OnDatabase):
    """What to look for."""

    budget: int | None = Field(None, ge=1, description="Bytes that new aggregates may take in all")
    days: int = Field(DAYS, ge=1, description="Of the query log")
    floats: bool = Field(False, description="Count in what may differ in the last digits of floating point sums")
    loose: bool = Field(False, description="Count in what may show another of several equal values, as 1.0 for 1.00")


class ToBuild(OnDatabase):
    """An aggregate to build."""

    sql: str = Field(min_length=1, description="One SELECT … GROUP BY …; what answers it is built")
    name: str | None = Field(None, description="Of the aggregate and its table; else one is made up")
    schema_: str | None = Field(None, alias="schema", description="Where the statement's tables are looked up")
    filters: list[str] = Field([], description="Columns that readers filter by: each gets an index")
    upkeep: Literal["notes", "tail", "schedule"] | None = Field(None, description="How it is kept up")
    every: int | None = Field(None, ge=1, description="Seconds between two looks")
    tail: str | None = Field(None, description="The column of time whose end rows are added to")
    late: int = Field(0, ge=0, description="Seconds that such rows may come late")
    run: bool = Field(False, description="Build it; else only its statements are shown")


class ToRefresh(OnDatabase):
    """Aggregates to bring up to date."""

    aggregates: list[str] = Field([], description="Their names; without any, all of the database")
    whole: bool = Field(False, description="Make all of them anew, whatever has changed")


class ToCheck(OnDatabase):
    """Aggregates to compare with their tables."""

    aggregates: list[str] = Field([], description="Their names; without any, all of the database")


class ToDrop(OnDatabase):
    """Aggregates to drop."""

    aggregates: list[str] = Field(min_length=1, description="Their names")
    run: bool = Field(False, description="Drop them; else they are only named")


class AggregateProposed(Answer):
    """An aggregate that is worth its bytes."""

    name = fields.String()
    relation = fields.String(metadata={"description": "The table or query that it is made of"})
    build = fields.List(fields.String(), metadata={"description": "The command that builds it, word by word"})
    rows = fields.Float(metadata={"description": "Estimated"})
    rows_estimated = fields.String(metadata={"description": "By what"})
    base_rows = fields.Float(metadata={"description": "That are read without it"})
    bytes = fields.Float()
    seconds_saved_a_day = fields.Float()
    writes_a_day = fields.Float(allow_none=True, metadata={"description": "Rows of its table; each is followed"})
    fingerprints = fields.List(fields.String(), metadata={"description": "Of the statements that it serves"})
    charts = fields.List(fields.Dict(), metadata={"description": "Id and name of those that gain"})
    datasets = fields.List(fields.Dict(), metadata={"description": "Id and name of those that gain"})


class AggregateRefusal(Answer):
    """Why statements are left to Superset."""

    reason = fields.String()
    statements = fields.Integer()
    seconds_a_day = fields.Float(metadata={"description": "That they take"})


class AggregatesProposed(Answer):
    """What to build, and why other statements are left as they are."""

    database = fields.String()
    days = fields.Integer(metadata={"description": "Of the log that this was made from"})
    budget_bytes = fields.Float()
    seconds_a_day = fields.Float(metadata={"description": "That the statements of the log take"})
    answerable = fields.Integer(metadata={"description": "Statements that some aggregate could answer"})
    served = fields.Integer(metadata={"description": "Statements that those proposed would answer"})
    held = fields.Integer(metadata={"description": "Statements that those built answer"})
    notes = fields.List(fields.String(), metadata={"description": "What was left out, and why"})
    setting = fields.String(metadata={"description": "Of SUPERSET_EXT_AGGREGATES, to have charts answered from them"})
    proposals = fields.List(fields.Nested(AggregateProposed))
    refused = fields.List(fields.Nested(AggregateRefusal))


class AggregateBuilt(Answer):
    """An aggregate that was built, or that would be."""

    name = fields.String()
    built = fields.Boolean()
    upkeep = fields.String()
    rows = fields.Integer(allow_none=True)
    seconds = fields.Float(allow_none=True)
    statements = fields.List(fields.String(), metadata={"description": "What is run on the source"})
    notes = fields.List(fields.String(), metadata={"description": "What to know before"})


class AggregateRefreshed(Answer):
    """What a refresh came to; of one that was not possible, only why."""

    name = fields.String()
    error = fields.String(allow_none=True, metadata={"description": "Why it was not possible"})
    how = fields.String(allow_none=True, metadata={"description": "nothing, groups, tail or whole"})
    notes = fields.Integer(allow_none=True, metadata={"description": "Of changes, that it took"})
    groups = fields.Integer(allow_none=True, metadata={"description": "That it changed or made anew"})
    read = fields.Integer(allow_none=True, metadata={"description": "Of these, read from the table"})
    seconds = fields.Float(allow_none=True)


class AggregatesRefreshed(Answer):
    """What came of it, aggregate by aggregate."""

    result = fields.List(fields.Nested(AggregateRefreshed))


class AggregateChecked(Answer):
    """What a comparison came to; of one that was not possible, only why."""

    name = fields.String()
    error = fields.String(allow_none=True, metadata={"description": "Why it was not possible"})
    differences = fields.Integer(
        allow_none=True, metadata={"description": "Rows that only one of both has; with any, it is switched off"}
    )
    not_compared = fields.List(
        fields.String(), allow_none=True, metadata={"description": "Columns of floating point sums"}
    )


class AggregatesChecked(Answer):
    """What came of it, aggregate by aggregate."""

    result = fields.List(fields.Nested(AggregateChecked))


class AggregateDropped(Answer):
    """An aggregate that was dropped, or that would be."""

    name = fields.String()
    error = fields.String(allow_none=True, metadata={"description": "Why it is still there, or that there is none"})
    dropped = fields.Boolean()


class AggregatesDropped(Answer):
    """What came of it, aggregate by aggregate."""

    result = fields.List(fields.Nested(AggregateDropped))


class AggregateActionsApi(Resource):
    """Small tables that answer charts of large ones: what to build, and what is done with those that are built."""

    @route("/aggregates/propose", "POST", body=ToPropose, answer=AggregatesProposed, errors=_ERRORS)
    def propose_aggregates(self, body: ToPropose) -> dict[str, Any]:
        """Which aggregates would save most for their bytes, for each request as whoever has made it.

        The source is asked for its catalog, for plans and for samples, within a transaction that may only read.
        """
        allowed = Allowed(floats=body.floats, loose=body.loose)
        named = _administered(body)
        return as_dict(report(this_app(), package().log(), named, body.budget, body.days, allowed=allowed))

    @route("/aggregates/build", "POST", body=ToBuild, answer=AggregateBuilt, errors=_ERRORS)
    def build_aggregate(self, body: ToBuild) -> dict[str, Any]:
        """Show what builds a small table on the source and keeps it up; with `run`, build it."""
        named = _administered(body, changes=True)
        wanted = service.Wanted(
            body.name, body.schema_, tuple(body.filters), body.upkeep, body.every, body.tail, body.late
        )
        plan = service.planned(this_app(), named, body.sql, wanted)
        shown = {"name": plan.definition.name, "upkeep": plan.definition.upkeep, "statements": plan.statements,
                 "notes": plan.notes, "built": body.run, "rows": None, "seconds": None}  # fmt: skip
        if not body.run:
            return shown
        done = service.built(this_app(), package().log(), plan)
        return {**shown, "rows": done.groups, "seconds": done.seconds}

    @route("/aggregates/refresh", "POST", body=ToRefresh, answer=AggregatesRefreshed, errors=_ERRORS)
    def refresh_aggregates(self, body: ToRefresh) -> dict[str, Any]:
        """Bring aggregates up to date, with what was noted or as a whole."""
        results = service.refreshed(this_app(), _administered(body), body.aggregates, body.whole)
        return _result(results, Refreshed)

    @route("/aggregates/check", "POST", body=ToCheck, answer=AggregatesChecked, errors=_ERRORS)
    def check_aggregates(self, body: ToCheck) -> dict[str, Any]:
        """Compare all of each aggregate with its table; one that differs is switched off."""
        return _result(service.checked(this_app(), _administered(body), body.aggregates), Checked)

    @route("/aggregates/drop", "POST", body=ToDrop, answer=AggregatesDropped, errors=_ERRORS)
    def drop_aggregates(self, body: ToDrop) -> dict[str, Any]:
        """Name aggregates with all that would go; with `run`, drop them with their triggers."""
        named = _administered(body, changes=True)
        if not body.run:
            known = {one.name for one in service.listed(this_app(), named)}
            gone = [(name, None if name in known else f"there is no aggregate {name}") for name in body.aggregates]
            return {"result": [{"name": name, "error": error, "dropped": False} for name, error in gone]}
        results = list(service.dropped(this_app(), package().log(), named, body.aggregates))
        return {"result": [{"name": name, "error": why or None, "dropped": not why} for name, why in results]}


def _administered(body: OnDatabase, *, changes: bool = False) -> str:
    """The id of a database, as text, for what an administrator alone may do.

    Args:
        changes: whether tables are made or dropped.

    Raises:
        NotAllowed: the current user is none, there is no such database, or nobody may change it from here.
    """
    if not is_admin():
        raise NotAllowed("only administrators may do this")
    try:
        database = database_of(body.database) if isinstance(body.database, int) else database_typed(body.database)
    except UnknownDatabase as error:
        raise NotAllowed(str(error)) from None
    if changes and not database.allow_dml:
        raise NotAllowed("Superset lets nobody change this database from here: switch on its 'Allow DDL and DML'")
    return str(database.id)


def _result(results: Iterable[tuple[str, Any]], kind: type[Refreshed] | type[Checked]) -> dict[str, Any]:
    """All of a kind, each with all of its fields."""
    nothing = {field.name: None for field in dataclass_fields(kind)}
    rows = [
        nothing | {"name": name, "error": one} if isinstance(one, str) else asdict(one) | {"error": None}
        for name, one in results
    ]
    return {"result": rows}
