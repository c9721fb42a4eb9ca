"""What warm-up over HTTP takes and answers: checked with pydantic, and described for Superset's OpenAPI page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, NoReturn

from marshmallow import Schema, fields
from pydantic import Field, ValidationError

from superset_ext.errors import SupersetExtError
from superset_ext.monitor.alerts.rules import METRIC_TYPES
from superset_ext.settings import TARGETS, Targets

Id = Annotated[int, Field(ge=1, le=2**31 - 1)]
Tag = Annotated[str, Field(min_length=1, max_length=250, pattern=r"^[^\x00]*$")]
_NAME_LENGTH = 80
_COUNT = {"minimum": 1, "nullable": True}


class BadRequest(SupersetExtError):
    """What is asked cannot be done, whoever asks and whenever."""


class WarmUp(Targets):
    """The body of a request: `Targets` with names that a database can hold."""

    dashboards: tuple[Id, ...] = ()
    charts: tuple[Id, ...] = ()
    datasets: tuple[Id, ...] = ()
    tags: tuple[Tag, ...] = ()
    timeout: int | None = Field(None, ge=1, le=86_400)


def parse(body: bytes) -> Targets:
    """What a request asks for.

    Raises:
        BadRequest: in one line, what is wrong with it.
    """
    options = _checked(an_object(body))
    if options.is_empty():
        raise BadRequest("nothing to warm is named; name dashboards, charts, datasets, tags or targets")
    return options


def an_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        BadRequest: it is none.
    """
    try:
        said = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(said, dict):
        raise BadRequest("the body is not a JSON object")
    return said


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _checked(said: dict[str, Any]) -> Targets:
    if said.get("dashboards") == "all":
        said = {**said, "all_dashboards": True, "dashboards": []}
    try:
        found = WarmUp.model_validate_json(json.dumps(said), strict=True)
    except ValidationError as error:
        raise BadRequest(first_problem(error, Targets.model_fields)) from None
    return Targets.model_validate(found.model_dump(exclude_unset=True))


def first_problem(error: ValidationError, names: Iterable[str]) -> str:
    """The first thing that is wrong with a body whose fields have `names`, in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))[:_NAME_LENGTH]
    if first["type"] == "extra_forbidden":
        return f"{place!r} is no field; use {', '.join(names)}"
    message = first["msg"].removeprefix("Input ")
    return f"{place!r}: {message}" if place else f"the body: {message}"


def as_json(status: dict[str, Any]) -> dict[str, Any]:
    """A run's status with its moments in ISO 8601."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in status.items()}


def _ids(**metadata: Any) -> fields.List:
    return fields.List(fields.Integer(metadata={"minimum": 1}), metadata=metadata)


class WarmUpRequestSchema(Schema):
    """The body, for OpenAPI."""

    targets = fields.List(fields.String(metadata={"enum": list(TARGETS)}), metadata={"description": "Things by use"})
    all_dashboards = fields.Boolean(metadata={"description": "All dashboards"})
    dashboards = fields.Raw(
        metadata={
            "description": "Ids of dashboards, or all",
            "oneOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string", "enum": ["all"]}],
        }
    )
    charts = _ids(description="Ids of charts")
    datasets = _ids(description="Ids of datasets")
    tags = fields.List(fields.String(), metadata={"description": "Names of tags"})
    limit = fields.Integer(metadata={"minimum": 1, "default": 50, "description": "What each of targets picks at most"})
    budget_seconds = fields.Float(metadata={"nullable": True, "description": "Seconds of queries to spend"})
    concurrency = fields.Integer(metadata={**_COUNT, "maximum": 64, "description": "Requests at a time"})
    per_database = fields.Integer(
        metadata={**_COUNT, "maximum": 256, "description": "Requests at a time to one source database"}
    )
    batch_size = fields.Integer(metadata={**_COUNT, "maximum": 1000, "description": "Items a worker takes at a time"})
    timeout = fields.Integer(metadata={**_COUNT, "maximum": 86_400, "description": "Seconds that one item may take"})


class WarmUpStartedSchema(Schema):
    """The answer to a request, for OpenAPI."""

    run_id = fields.UUID(metadata={"description": "The run"})
    new = fields.Boolean(metadata={"description": "False where the same is being warmed already"})


class WarmUpFailureSchema(Schema):
    """A reason why items of a run failed, for OpenAPI."""

    reason = fields.String()
    items = fields.Integer()
    dashboards = fields.List(fields.Integer(), metadata={"nullable": True})
    charts = fields.List(fields.Integer(), metadata={"nullable": True})


class WarmUpStatusSchema(Schema):
    """Where a run is at, for OpenAPI."""

    run_id = fields.UUID()
    schedule = fields.String(metadata={"nullable": True, "description": "The schedule it is of"})
    state = fields.String(metadata={"enum": ["queued", "running", "done", "failed"]})
    reason = fields.String(metadata={"nullable": True, "description": "Why it failed"})
    requested_by = fields.String()
    created_at = fields.DateTime()
    started_at = fields.DateTime(metadata={"nullable": True})
    finished_at = fields.DateTime(metadata={"nullable": True})
    options = fields.Dict(metadata={"description": "What it was asked to warm"})
    left_out = fields.Integer(metadata={"description": "Requests over the budget"})
    entries = fields.Integer(metadata={"description": "Entries stored"})
    entries_read = fields.Integer(metadata={"description": "Those that people have read"})
    spent_ms = fields.Float()
    saved_ms = fields.Float()
    settled = fields.Boolean(metadata={"description": "Whether all its entries have gone"})
    seconds = fields.Float(metadata={"description": "Seconds since it began"})
    seconds_left = fields.Float(metadata={"nullable": True, "description": "Estimate"})
    total = fields.Integer(metadata={"description": "Items"})
    done = fields.Integer()
    warmed = fields.Integer()
    already_fresh = fields.Integer()
    failed = fields.Integer()
    failures = fields.List(fields.Nested(WarmUpFailureSchema))


class AlertRuleSchema(Schema):
    """`alert_rules.AlertRule`, as OpenAPI has it."""

    name = fields.String(required=True)
    metric_type = fields.String(required=True, metadata={"enum": list(METRIC_TYPES)})
    comparison_operator = fields.String(required=True, metadata={"enum": [">", ">=", "<", "<="]})
    threshold_value = fields.Float(required=True)
    subject = fields.String(allow_none=True, metadata={"description": "The only subject that it watches"})
    clear_value = fields.Float(allow_none=True, metadata={"description": "Where an alert ends"})
    window_minutes = fields.Integer(metadata={"minimum": 1, "default": 15})
    min_occurrences = fields.Integer(metadata={"minimum": 1, "default": 5})
    severity = fields.String(metadata={"enum": ["info", "warning", "critical"], "default": "warning"})
    cooldown_minutes = fields.Integer(metadata={"minimum": 0, "default": 30})
    enabled = fields.Boolean(metadata={"default": True})
