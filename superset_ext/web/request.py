"""What a request brings: its body and its query, checked against a pydantic model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from superset_ext.errors import SupersetExtError

MAX_BYTES = 64 * 1024
_NAME_LENGTH = 80
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]
Model = TypeVar("Model", bound=BaseModel)


class BadRequest(SupersetExtError):
    """A request that cannot be served, whoever sends it and whenever."""


def body(model: type[Model]) -> Model:
    """The body of the current request.

    Raises:
        BadRequest: it does not fit the model; the message names the first problem in one line.
        RequestEntityTooLarge: it is over `MAX_BYTES`, whether it declares its length or not.
    """
    parsed = _json_object(_bytes())
    try:
        return model.model_validate_json(json.dumps(parsed))
    except ValidationError as error:
        raise BadRequest(first_problem(error, _names(model))) from None


def query(model: type[Model]) -> Model:
    """The query string of the current request; parameters that the model does not have are ignored.

    Raises:
        BadRequest: it does not fit the model.
    """
    given = {name: value for name, value in request.args.items() if name in model.model_fields}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise BadRequest(first_problem(error, _names(model))) from None


def _bytes() -> bytes:
    if not request.is_json:
        raise BadRequest("the body is not JSON; send it with Content-Type: application/json")
    content = request.get_data()
    if len(content) > MAX_BYTES:  # Werkzeug cuts a body that does not declare its length
        raise RequestEntityTooLarge
    return content


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise BadRequest("the body is not a JSON object")
    return parsed


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _names(model: type[BaseModel]) -> list[str]:
    return list(model.model_json_schema()["properties"])


def first_problem(error: ValidationError, names: Iterable[str]) -> str:
    """The first thing that is wrong with a value whose fields have `names`, in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))[:_NAME_LENGTH]
    if first["type"] == "extra_forbidden":
        return f"{place!r} is no field; use {', '.join(names)}"
    message = first["msg"].removeprefix("Input ")
    return f"{place!r}: {message}" if place else f"the body: {message}"
