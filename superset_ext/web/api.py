"""`/api/v1/performance`: say what changed, start a warming run, and ask where it is at.

Superset's users come with a session and its CSRF token, or with a JWT or an API key; a machine may come
with the token of the settings. Superset asks for a CSRF token before it looks at who is there, so that is
switched off for these routes, and done here for whoever is known by a cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from flask import Response, current_app, request
from flask_appbuilder.api import expose, protect, safe
from flask_jwt_extended import verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_wtf.csrf import CSRFError  # type: ignore[import-untyped]
from jwt import PyJWTError
from superset.extensions import appbuilder, celery_app
from superset.utils.core import get_user_id
from superset.views.base_api import BaseSupersetApi, statsd_metrics
from werkzeug.exceptions import RequestEntityTooLarge

from superset_ext.db import LogDatabase
from superset_ext.errors import ChangeError, LogUnavailable, StoreUnavailable, WarmError
from superset_ext.freshness.invalidate import invalidate
from superset_ext.install import EXTENSION, Package
from superset_ext.settings import PREFIX
from superset_ext.warm import runs, service
from superset_ext.web import invalidate as invalidation
from superset_ext.web import schemas

VIEW_MENU = "Performance"
MAX_BYTES = 64 * 1024
Method = Callable[..., Response]


def guarded(method: Method) -> Method:
    """Let in whoever has the settings' token, or the permission; a method of an API."""
    for_users = protect(allow_browser_login=True)(_with_csrf(method))

    @wraps(for_users)
    def admitted(self: BaseSupersetApi, *args: Any, **kwargs: Any) -> Response:
        request.max_content_length = MAX_BYTES + 1
        bearer = _bearer()
        if bearer is not None and _is_ours(bearer):
            return method(self, *args, **kwargs)
        try:
            if bearer is not None and not _is_api_key():
                verify_jwt_in_request(locations=["headers"])
            return for_users(self, *args, **kwargs)  # type: ignore[no-any-return]
        except (PyJWTError, JWTExtendedException):
            return self.response_401()  # type: ignore[no-any-return]

    return admitted


def _with_csrf(method: Method) -> Method:
    """Ask for a CSRF token, unless a header says who is there: that no other site can make a browser send."""

    @wraps(method)
    def checked(self: BaseSupersetApi, *args: Any, **kwargs: Any) -> Response:
        csrf = current_app.extensions.get("csrf")
        if csrf is not None and _bearer() is None:
            try:
                csrf.protect()
            except CSRFError as error:
                return self.response_400(message=error.description)  # type: ignore[no-any-return]
            except RequestEntityTooLarge:  # it looks into the body too
                return _too_large(self)
        return method(self, *args, **kwargs)

    return checked


def _too_large(api: BaseSupersetApi) -> Response:
    return api.response(413, message=f"the body is over {MAX_BYTES} bytes")  # type: ignore[no-any-return]


def _bearer() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is_ours(bearer: str) -> bool:
    token = _package().settings.api_token
    return bool(token) and hmac.compare_digest(bearer.encode(), token.encode())


def _is_api_key() -> bool:
    """Whether it is for `protect` to check, as a key of Superset's own."""
    on = current_app.config.get("FAB_API_KEY_ENABLED", False)
    return bool(on) and appbuilder.sm.extract_api_key_from_request() is not None


def answered(method: Method) -> Method:
    """Answer 503 with the reason where a server that is needed is away."""

    @wraps(method)
    def tried(self: BaseSupersetApi, *args: Any, **kwargs: Any) -> Response:
        try:
            return method(self, *args, **kwargs)
        except (WarmError, LogUnavailable, StoreUnavailable) as error:
            return self.response(503, message=str(error))  # type: ignore[no-any-return]

    return tried


def _route(path: str, verb: str) -> Callable[[Method], Method]:
    """All that stands around a method here."""

    def made(method: Method) -> Method:
        whole = guarded(safe(statsd_metrics(answered(method))))
        return expose(path, methods=(verb,))(whole)  # type: ignore[no-any-return]

    return made


def _package() -> Package:
    return current_app.extensions[EXTENSION]  # type: ignore[no-any-return]


def _database() -> LogDatabase:
    database = _package().database
    if database is None:
        raise LogUnavailable(f"no log database; set {PREFIX}LOG_DATABASE_URL to a PostgreSQL URL")
    return database


class PerformanceApi(BaseSupersetApi):  # type: ignore[misc]
    """Warm-up and invalidation over HTTP."""

    resource_name = "performance"
    class_permission_name = VIEW_MENU
    method_permission_name = {  # noqa: RUF012  (as Superset has it)
        "invalidate": "write",
        "warm_up": "write",
        "warm_up_status": "read",
    }
    allow_browser_login = True
    csrf_exempt = True  # see `guarded`
    openapi_spec_tag = VIEW_MENU
    openapi_spec_component_schemas = (
        invalidation.InvalidateRequestSchema, invalidation.InvalidatedSchema, schemas.WarmUpRequestSchema,
        schemas.WarmUpStartedSchema, schemas.WarmUpStatusSchema,
    )  # fmt: skip

    @_route("/cache/invalidate", "POST")
    def invalidate(self) -> Response:
        """Say what changed, so that nothing older is served.
        ---
        post:
          summary: Say what changed
          description: >-
            Drops the cached answers that were read from what is named, at once, and nothing else. Whatever is named
            must exist, otherwise nothing is dropped.
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  $ref: '#/components/schemas/InvalidateRequestSchema'
          responses:
            200:
              description: Nothing older is served any more
              content:
                application/json:
                  schema:
                    $ref: '#/components/schemas/InvalidatedSchema'
            400:
              $ref: '#/components/responses/400'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            413:
              description: The body is over 64 KB
            503:
              description: Redis could not be told, and old answers may still be served
        """
        if "webhook" not in _package().settings.sources:
            return self.response_403()  # type: ignore[no-any-return]
        try:
            asked = invalidation.parse(_body())
            said = invalidate(asked.named, asked.keys, "webhook", asked.operation, asked.at, get_user_id())
        except RequestEntityTooLarge:
            return _too_large(self)
        except (schemas.BadRequest, ChangeError) as error:
            return self.response_400(message=str(error))  # type: ignore[no-any-return]
        return self.response(200, **invalidation.as_json(*said))  # type: ignore[no-any-return]

    @_route("/cache/warm-up", "POST")
    def warm_up(self) -> Response:
        """Start a warming run.
        ---
        post:
          summary: Start a warming run
          description: >-
            Warms what is named, in the background. The same while it is being warmed is the same run.
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  $ref: '#/components/schemas/WarmUpRequestSchema'
          responses:
            202:
              description: The run
              content:
                application/json:
                  schema:
                    $ref: '#/components/schemas/WarmUpStartedSchema'
            400:
              $ref: '#/components/responses/400'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            413:
              description: The body is over 64 KB
            503:
              description: The log database or Celery's broker is away
        """
        database = _database()
        try:
            options = schemas.parse(_body())
        except RequestEntityTooLarge:
            return _too_large(self)
        except schemas.BadRequest as error:
            return self.response_400(message=str(error))  # type: ignore[no-any-return]
        run_id, new = service.start(celery_app, database, options, "api")
        return self.response(202, run_id=run_id, new=new)  # type: ignore[no-any-return]

    @_route("/cache/warm-up/<uuid:run_id>", "GET")
    def warm_up_status(self, run_id: UUID) -> Response:
        """Where a warming run is at.
        ---
        get:
          summary: Where a warming run is at
          parameters:
          - in: path
            name: run_id
            required: true
            schema:
              type: string
              format: uuid
          responses:
            200:
              description: The run
              content:
                application/json:
                  schema:
                    $ref: '#/components/schemas/WarmUpStatusSchema'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            404:
              $ref: '#/components/responses/404'
            503:
              description: The log database or Celery's broker is away
        """
        database = _database()
        service.tend(celery_app, database, _package().settings)
        try:
            status = runs.status(database, str(run_id))
        except WarmError:
            return self.response_404()  # type: ignore[no-any-return]
        return self.response(200, **schemas.as_json(status))  # type: ignore[no-any-return]


def _body() -> bytes:
    """The body as it came.

    Raises:
        BadRequest: it is not said to be JSON.
        RequestEntityTooLarge: it is over `MAX_BYTES`, said or not.
    """
    if not request.is_json:
        raise schemas.BadRequest("the body is not JSON; send it with Content-Type: application/json")
    body = request.get_data()
    if len(body) > MAX_BYTES:  # Werkzeug cuts a body that does not say how long it is
        raise RequestEntityTooLarge
    return body
