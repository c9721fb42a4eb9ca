"""`POST /cache/warm-up` and `GET /cache/warm-up/<run_id>`."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask import Response
from marshmallow import fields
from pydantic import ConfigDict, Field, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator
from pydantic.json_schema import SkipJsonSchema

from superset_ext.errors import WarmError
from superset_ext.host.services import celery_app
from superset_ext.package import package
from superset_ext.settings import Targets
from superset_ext.warm import service
from superset_ext.warm.recovery import recover
from superset_ext.warm.run import runs
from superset_ext.web.openapi import Answer
from superset_ext.web.request import BadRequest, Id
from superset_ext.web.resource import Resource, route

Tag = Annotated[str, Field(min_length=1, max_length=250, pattern=r"^[^\x00]*$")]
_AWAY = {503: "The log database or Celery's broker does not answer"}


def _all_or(value: Any, ids: ValidatorFunctionWrapHandler) -> Any:
    return value if value == "all" else ids(value)


_IDS_OR_ALL = {
    "oneOf": [{"type": "array", "items": {"type": "integer", "minimum": 1}}, {"type": "string", "enum": ["all"]}]
}
# Not strict, since a function gets a list, and a strict tuple takes a list from JSON alone; the ids in it are strict.
Dashboards = Annotated[tuple[Id, ...], Field(strict=False), WrapValidator(_all_or), WithJsonSchema(_IDS_OR_ALL)]


class WarmUpRequest(Targets):
    """What to warm."""

    model_config = ConfigDict(strict=True)

    dashboards: Dashboards = Field((), description="Ids of dashboards, or all")
    charts: tuple[Id, ...] = Field((), description="Ids of charts")
    datasets: tuple[Id, ...] = Field((), description="Ids of datasets")
    tags: tuple[Tag, ...] = Field((), description="Names of tags")
    timeout: int | None = Field(None, ge=1, le=86_400, description="Seconds that one item may take")
    # The package itself warms what a change has dropped.
    changed: SkipJsonSchema[tuple[str, ...]] = ()

    def named(self) -> Targets:
        """The targets that it names.

        Raises:
            BadRequest: it names none.
        """
        given = self.model_dump(exclude_unset=True, warnings=False)
        if given.get("dashboards") == "all":
            given |= {"all_dashboards": True, "dashboards": ()}
        targets = Targets.model_validate(given)
        if targets.is_empty():
            raise BadRequest("nothing to warm is named; name dashboards, charts, datasets, tags or targets")
        return targets


class WarmUpStarted(Answer):
    """A run that was started, or that warms the same already."""

    run_id = fields.UUID(metadata={"description": "The run"})
    new = fields.Boolean(metadata={"description": "False where the same is being warmed already"})


class WarmUpFailure(Answer):
    """A reason why items of a run failed."""

    reason = fields.String()
    items = fields.Integer(metadata={"description": "Items that failed for this reason"})
    dashboards = fields.List(fields.Integer(), allow_none=True)
    charts = fields.List(fields.Integer(), allow_none=True)


class WarmUpStatus(Answer):
    """How far a run is."""

    run_id = fields.UUID()
    schedule = fields.String(allow_none=True, metadata={"description": "The schedule that started it"})
    state = fields.String(metadata={"enum": ["queued", "running", "done", "failed"]})
    reason = fields.String(allow_none=True, metadata={"description": "Why it failed"})
    requested_by = fields.String()
    created_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    finished_at = fields.DateTime(allow_none=True)
    options = fields.Dict(metadata={"description": "What it was asked to warm"})
    left_out = fields.Integer(metadata={"description": "Requests over the budget"})
    entries = fields.Integer(metadata={"description": "Entries stored"})
    entries_read = fields.Integer(metadata={"description": "Entries that people have read"})
    spent_ms = fields.Float(metadata={"description": "Milliseconds of queries that it took"})
    saved_ms = fields.Float(metadata={"description": "Milliseconds of queries that it spared people"})
    settled = fields.Boolean(metadata={"description": "Whether all its entries have gone"})
    seconds = fields.Float(metadata={"description": "Seconds since it began"})
    seconds_left = fields.Float(allow_none=True, metadata={"description": "An estimate"})
    total = fields.Integer(metadata={"description": "Requests, and pages that could not be opened"})
    pages = fields.Integer(metadata={"description": "Pages that were opened to see what they request"})
    done = fields.Integer()
    warmed = fields.Integer()
    already_fresh = fields.Integer()
    failed = fields.Integer()
    failures = fields.List(fields.Nested(WarmUpFailure))


class WarmUpApi(Resource):
    """Warming runs."""

    @route("/cache/warm-up", "POST", body=WarmUpRequest, answer=WarmUpStarted, code=202, errors=_AWAY, takes_token=True)
    def warm_up(self, body: WarmUpRequest) -> dict[str, Any]:
        """Start a warming run.

        It warms what is named, in the background. If the same is being warmed already, the answer names that run.
        """
        run_id, new = service.start(celery_app, package().log(), body.named(), "api")
        return {"run_id": run_id, "new": new}

    @route(
        "/cache/warm-up/<uuid:run_id>",
        "GET",
        answer=WarmUpStatus,
        errors={404: "There is no such run", **_AWAY},
        takes_token=True,
    )
    def warm_up_status(self, run_id: UUID) -> dict[str, Any] | Response:
        """How far a warming run is."""
        database = package().log()
        recover(celery_app, database, package().settings)
        try:
            return runs.status(database, str(run_id))
        except WarmError:
            return self.response_404()  # type: ignore[no-any-return]
