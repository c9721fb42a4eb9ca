"""What invalidation over HTTP takes and answers: checked with pydantic, and described for Superset's OpenAPI page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from marshmallow import Schema, fields
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from superset_ext.freshness.resolve import Names, TableName
from superset_ext.settings import OPERATIONS, Operation
from superset_ext.web.schemas import BadRequest, Id, first_problem

_NAME_OR_ID = [{"type": "string"}, {"type": "integer"}]
MOST = 1000  # names in one list
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
Pattern = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TableBody(_Strict):
    """A table of the body."""

    database: Name | Id
    table: Name
    schema_name: Name | None = Field(None, alias="schema")


class Body(_Strict):
    """The body of a request."""

    tables: list[TableBody] = Field([], max_length=MOST)
    databases: list[Name | Id] = Field([], max_length=MOST)
    datasets: list[Id] = Field([], max_length=MOST)
    charts: list[Id] = Field([], max_length=MOST)
    dashboards: list[Id] = Field([], max_length=MOST)
    keys: list[Pattern] = Field([], max_length=100)
    all: bool = False
    operation: Operation = "data_update"
    changed_at: float | None = Field(None, ge=0)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for: names, patterns of cache keys, and what was done, when."""

    named: Names
    keys: tuple[str, ...]
    operation: Operation
    at: float | None


def parse(body: bytes) -> Asked:
    """What a request asks for.

    Raises:
        BadRequest: in one line, what is wrong with it.
    """
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON; nothing was invalidated") from None
    try:
        said = Body.model_validate_json(body)
    except ValidationError as error:
        names = [field.alias or name for name, field in Body.model_fields.items()]
        raise BadRequest(f"{first_problem(error, names)}; nothing was invalidated") from None
    named = Names(
        tuple(TableName(each.database, each.table, each.schema_name) for each in said.tables),
        tuple(said.databases), tuple(said.datasets), tuple(said.charts), tuple(said.dashboards), said.all,
    )  # fmt: skip
    if named == Names() and not said.keys:
        raise BadRequest("nothing is named; name tables, databases, datasets, charts, dashboards or keys, or all")
    return Asked(named, tuple(said.keys), said.operation, said.changed_at)


def _ids(what: str) -> fields.List:
    return fields.List(fields.Integer(metadata={"minimum": 1}), metadata={"description": f"Ids of {what}"})


class InvalidatedTableSchema(Schema):
    """A table of the body, for OpenAPI."""

    database = fields.Raw(
        required=True,
        metadata={"description": "Name or id of Superset's database", "oneOf": _NAME_OR_ID},
    )
    schema = fields.String(metadata={"nullable": True, "description": "The database's default one where not given"})
    table = fields.String(required=True)


class InvalidateRequestSchema(Schema):
    """The body, for OpenAPI."""

    tables = fields.List(fields.Nested(InvalidatedTableSchema), metadata={"description": "Source tables"})
    databases = fields.List(fields.Raw(), metadata={"description": "Names or ids of databases, all of their tables"})
    datasets = _ids("datasets")
    charts = _ids("charts")
    dashboards = _ids("dashboards")
    keys = fields.List(fields.String(), metadata={"description": "Patterns of cache keys, with * and ?"})
    all = fields.Boolean(metadata={"description": "Everything"})
    operation = fields.String(metadata={"enum": list(OPERATIONS), "default": "data_update"})
    changed_at = fields.Float(metadata={"nullable": True, "description": "When it changed, in seconds since 1970"})


class InvalidatedSchema(Schema):
    """The answer, for OpenAPI."""

    tags = fields.List(fields.String(), metadata={"description": "What was stamped"})
    stamped_at = fields.Float(
        metadata={
            "nullable": True,
            "description": "Redis time (seconds since 1970) since when nothing older is served",
        }
    )
    keys_deleted = fields.Integer(metadata={"nullable": True, "description": "Of the patterns"})


def as_json(tags: tuple[str, ...], stamped_at: float | None, keys_deleted: int | None) -> dict[str, Any]:
    """The answer."""
    return {"tags": list(tags), "stamped_at": stamped_at, "keys_deleted": keys_deleted}
