"""A route as an operation of the OpenAPI document, made from the models that check its body and write its answer.

Bodies and queries are pydantic models, answers are marshmallow schemas: Superset's document resolves the latter itself.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields
from pydantic import BaseModel

JsonSchema = dict[str, Any]
_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
_KINDS: Mapping[str, JsonSchema] = {
    "int": {"type": "integer"},
    "uuid": {"type": "string", "format": "uuid"},
    "string": {"type": "string"},
}
_READ: Mapping[str, Callable[[str], Any]] = {"int": int, "uuid": UUID, "string": str}


class Answer(Schema):
    """An answer: a route's value is written with it, so that the document says what is sent."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field) -> None:
        """Document each field as one that is always there, but for those whose metadata say `optional`."""
        field_obj.required = not field_obj.metadata.get("optional", False)


class Problem(Answer):
    """Why a request was not served."""

    message = fields.String(metadata={"description": "What is wrong, and how to fix it"})


@dataclass(frozen=True)
class Route:
    """A route of the API.

    Attributes:
        path: what follows `/api/v1/performance`, with `<kind:name>` for a parameter.
        verb: `GET`, `POST`, `PUT` or `DELETE`.
        answer: model of the answer; `None` for one that is plain text.
        code: status of the answer.
        body: model of the request's body.
        query: model of the request's query string.
        errors: further statuses, each with a description or with the model of its answer; an empty one is not answered.
        takes_token: whether `SUPERSET_EXT_API_TOKEN` opens it.
    """

    path: str
    verb: str
    answer: type[Answer] | None
    code: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    errors: Mapping[int, str | type[Answer]] = field(default_factory=dict)
    takes_token: bool = False

    @property
    def rule(self) -> str:
        """The path for Flask, which takes anything for a parameter: what is none of its kind is refused by `read`, with
        JSON, and not by Superset, with a page."""
        return _PARAMETER.sub(r"<\g<name>>", self.path)

    def read(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of a path as their kinds.

        Raises:
            ValueError: one is none of its kind.
        """
        kinds = {match["name"]: _READ[match["kind"]] for match in _PARAMETER.finditer(self.path)}
        return {name: kinds[name](text) for name, text in parameters.items()}

    def operation(self, method: Callable[..., Any]) -> dict[str, Any]:
        """The operation; its texts are the docstring of the method that serves the route."""
        summary, _, description = _doc(method).partition("\n\n")
        operation: dict[str, Any] = {"summary": summary.rstrip("."), "responses": self._responses(summary)}
        if description:
            operation["description"] = description.replace("\n", " ")
        if parameters := [*self._path_parameters(), *self._query_parameters()]:
            operation["parameters"] = parameters
        if self.body is not None:
            schema = {"$ref": _REFERENCE.format(model=self.body.__name__)}
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        return operation

    def components(self) -> dict[str, JsonSchema]:
        """The models of the body, by name."""
        if self.body is None:
            return {}
        schema = _json_schema(self.body)
        nested = schema.pop("$defs", {})
        return {self.body.__name__: schema, **nested}

    def _path_parameters(self) -> list[JsonSchema]:
        return [
            {"in": "path", "name": match["name"], "required": True, "schema": _KINDS[match["kind"]]}
            for match in _PARAMETER.finditer(self.path)
        ]

    def _query_parameters(self) -> list[JsonSchema]:
        if self.query is None:
            return []
        properties = _json_schema(self.query)["properties"]
        return [
            {"in": "query", "name": name, "description": schema.pop("description", ""), "schema": schema}
            for name, schema in properties.items()
        ]

    def _responses(self, summary: str) -> dict[str, Any]:
        described = {code: _error(text) for code, text in (self._usual_errors() | dict(self.errors)).items() if text}
        text = summary if self.answer is None else _doc(self.answer)
        answer = {"description": text.rstrip("."), "content": _content(self.answer)}
        return {str(code): response for code, response in sorted({self.code: answer, **described}.items())}

    def _usual_errors(self) -> dict[int, str]:
        usual = {
            401: "Nobody is logged in, or the token is not valid",
            403: "The permission is missing",
            503: "The log database does not answer",
        }
        if self.verb != "GET" or self.query is not None:
            usual[400] = "The body, the query or the CSRF token is not valid"
        if self.rule != self.path:
            usual[404] = "Nothing has that id"
        if self.body is not None:
            usual[413] = "The body is over 64 KB"
        return usual


def _error(answer: str | type[Answer]) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"description": answer, "content": _content(Problem)}
    return {"description": _doc(answer).rstrip("."), "content": _content(answer)}


def _doc(documented: Any) -> str:
    return inspect.cleandoc(documented.__doc__ or "")


def _content(answer: type[Answer] | None) -> dict[str, Any]:
    if answer is None:
        return {"text/plain": {"schema": {"type": "string"}}}
    return {"application/json": {"schema": answer}}


def _json_schema(model: type[BaseModel]) -> JsonSchema:
    written: JsonSchema = _as_openapi(model.model_json_schema(ref_template=_REFERENCE))
    return written


def _as_openapi(node: Any) -> Any:
    """JSON Schema as OpenAPI 3.0 writes it, which has `nullable` and a Boolean `exclusiveMinimum`."""
    if isinstance(node, list):
        return [_as_openapi(item) for item in node]
    if not isinstance(node, dict):
        return node
    written = {name: _as_openapi(value) for name, value in node.items() if not _is_noise(name, value)}
    if {"type": "null"} in written.get("anyOf", ()):
        others = [option for option in written.pop("anyOf") if option != {"type": "null"}]
        written |= {"nullable": True} | (others[0] if len(others) == 1 else {"anyOf": others})
    if not isinstance(written.get("exclusiveMinimum", True), bool):
        written |= {"minimum": written["exclusiveMinimum"], "exclusiveMinimum": True}
    return written


def _is_noise(name: str, value: Any) -> bool:
    """Whether this is the title that pydantic gives every schema, or the default of a field that is left out."""
    return (name == "title" and isinstance(value, str)) or (name == "default" and value is None)
