"""What all resources of `/api/v1/performance` share: one decorator makes a method a route.

A method returns its value, which the route's model writes, or a whole response. What it raises becomes the status that
the route documents, with a message of one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from flask import Response
from flask_appbuilder.api import expose, safe
from pydantic import BaseModel
from werkzeug.exceptions import RequestEntityTooLarge

from superset_ext.errors import (
    AdviceError,
    AggregateError,
    AggregateRefused,
    ChangeError,
    LogUnavailable,
    NoLogDatabase,
    NotAllowed,
    PlanError,
    StoreUnavailable,
    WarmError,
    WatchError,
)  # fmt: skip
from superset_ext.host.api import BaseSupersetApi, statsd_metrics
from superset_ext.host.permissions import VIEW_MENU
from superset_ext.monitor.alerts.rules import AlertError
from superset_ext.web import request
from superset_ext.web.guard import guarded, too_large
from superset_ext.web.openapi import Answer, Route
from superset_ext.web.request import BadRequest

Method = Callable[..., Any]
_REFUSED = (BadRequest, ChangeError, AlertError, PlanError, AdviceError, AggregateError, AggregateRefused)
_AWAY = (WarmError, WatchError, LogUnavailable, NoLogDatabase, StoreUnavailable)


def route(
    path: str,
    verb: str,
    *,
    answer: type[Answer] | None,
    code: int = 200,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    errors: Mapping[int, str | type[Answer]] | None = None,
    takes_token: bool = False,
) -> Callable[[Method], Method]:
    """Make a method a route; see `Route` for the arguments. It gets `body` and `query` as its models."""
    described = Route(path, verb, answer, code, body, query, errors or {}, takes_token)

    def decorate(method: Method) -> Method:
        served: Any = guarded(safe(statsd_metrics(_answering(method, described))), takes_token)
        served.route, served.operation = described, described.operation(method)
        return expose(described.rule, methods=(verb,))(served)  # type: ignore[no-any-return]

    return decorate


def _answering(method: Method, described: Route) -> Method:
    @wraps(method)
    def answering(self: Resource, **arguments: Any) -> Response:
        try:
            parameters = described.read(arguments)
        except ValueError:
            return self.response_404()  # type: ignore[no-any-return]
        try:
            return self.write(described, method(self, **parameters, **_checked(described)))
        except RequestEntityTooLarge:
            return too_large(self)
        except _REFUSED as error:
            return self.response_400(message=str(error))  # type: ignore[no-any-return]
        except NotAllowed as error:
            return self.response(403, message=str(error))  # type: ignore[no-any-return]
        except _AWAY as error:
            return self.response(503, message=str(error))  # type: ignore[no-any-return]

    return answering


def _checked(described: Route) -> dict[str, BaseModel]:
    arguments: dict[str, BaseModel] = {}
    if described.body is not None:
        arguments["body"] = request.body(described.body)
    if described.query is not None:
        arguments["query"] = request.query(described.query)
    return arguments


class Resource(BaseSupersetApi):  # type: ignore[misc]
    """Some routes of the API: `GET` needs the permission to read, anything else the one to write."""

    resource_name = "performance"
    class_permission_name = VIEW_MENU
    # Flask-AppBuilder deletes a permission of the view menu that a class does not name: each names both.
    base_permissions = ("can_read", "can_write")
    allow_browser_login = True
    csrf_exempt = True  # see `guard.guarded`
    openapi_spec_tag = VIEW_MENU

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        routes: dict[str, Route] = {
            name: method.route for name, method in vars(cls).items() if hasattr(method, "route")
        }
        cls.method_permission_name = {name: "read" if r.verb == "GET" else "write" for name, r in routes.items()}
        cls.apispec_parameter_schemas = {
            name: schema for described in routes.values() for name, schema in described.components().items()
        }

    def write(self, described: Route, value: Any) -> Response:
        """The response of a route, from what its method returned."""
        if described.answer is None or isinstance(value, Response):
            return value  # type: ignore[no-any-return]
        return self.response(described.code, **described.answer().dump(value))  # type: ignore[no-any-return]

    def operation_helper(
        self, path: Any = None, operations: Any = None, methods: Any = None, func: Any = None, **_: Any
    ) -> None:
        """Write a route into the OpenAPI document; Flask-AppBuilder calls this for each."""
        security: list[dict[str, list[str]]] = [{"jwt": []}, {"api_key": []}]
        operations |= {verb.lower(): {**func.operation, "security": security} for verb in methods}
