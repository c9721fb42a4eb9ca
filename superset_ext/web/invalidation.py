"""`POST /cache/invalidate`."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from marshmallow import fields
from pydantic import BaseModel, ConfigDict, Field

from superset_ext.freshness.request import invalidate
from superset_ext.freshness.resolve import Names, TableName
from superset_ext.host.services import get_user_id
from superset_ext.package import package
from superset_ext.settings import Operation
from superset_ext.web.openapi import Answer
from superset_ext.web.request import BadRequest, Id
from superset_ext.web.resource import Resource, route

_MOST_NAMES, _MOST_PATTERNS = 1000, 100
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
Pattern = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class InvalidatedTable(_Strict):
    """A table of a source database."""

    database: Name | Id = Field(description="Name or id of Superset's database")
    table: Name
    schema_name: Name | None = Field(None, alias="schema", description="By default, the database's own default one")


def _names(description: str, most: int = _MOST_NAMES) -> Any:
    return Field([], max_length=most, description=description)


class InvalidationRequest(_Strict):
    """What changed. Whatever is named must exist, otherwise nothing is dropped."""

    tables: list[InvalidatedTable] = _names("Source tables")
    databases: list[Name | Id] = _names("Names or ids of databases: all of their tables")
    datasets: list[Id] = _names("Ids of datasets")
    charts: list[Id] = _names("Ids of charts")
    dashboards: list[Id] = _names("Ids of dashboards")
    keys: list[Pattern] = _names("Patterns of cache keys, with * and ?", _MOST_PATTERNS)
    all: bool = Field(False, description="Everything")
    operation: Operation = Field("data_update", description="What was done")
    changed_at: float | None = Field(None, ge=0, description="When it changed, in seconds since 1970")

    def named(self) -> Names:
        """What it names, besides keys.

        Raises:
            BadRequest: it names nothing, not even keys.
        """
        tables = tuple(TableName(table.database, table.table, table.schema_name) for table in self.tables)
        ids = (tuple(self.datasets), tuple(self.charts), tuple(self.dashboards))
        named = Names(tables, tuple(self.databases), *ids, self.all)
        if named == Names() and not self.keys:
            raise BadRequest("nothing is named; name tables, databases, datasets, charts, dashboards or keys, or all")
        return named


class Invalidated(Answer):
    """What was dropped."""

    tags = fields.List(fields.String(), metadata={"description": "The tags that were stamped"})
    stamped_at = fields.Float(
        metadata={
            "optional": True,
            "description": "Redis' time, in seconds since 1970, since when nothing older is served; absent where"
            " only keys were named",
        },
    )
    keys_deleted = fields.Integer(
        metadata={"optional": True, "description": "Keys that matched the patterns; absent where none was given"}
    )


class InvalidationApi(Resource):
    """What changed."""

    @route(
        "/cache/invalidate", "POST", body=InvalidationRequest, answer=Invalidated,
        errors={503: "Redis could not be told, and old answers may still be served"}, takes_token=True,
    )  # fmt: skip
    def invalidate(self, body: InvalidationRequest) -> dict[str, Any] | Response:
        """Say what changed, so that nothing older is served.

        It drops the cached answers that were read from what is named, at once, and nothing else. Whatever is named must
        exist, otherwise nothing is dropped.
        """
        if "webhook" not in package().settings.sources:
            return self.response_403()  # type: ignore[no-any-return]
        named = body.named()
        answer = invalidate(named, body.keys, "webhook", body.operation, body.changed_at, get_user_id())
        return answer.as_dict()
