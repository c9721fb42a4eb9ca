"""Who may use the routes of `/api/v1/performance`, and what stands around each of them.

Superset's users come with a session and its CSRF token, or with a JWT or an API key; a machine may come
with the token of the settings. Superset asks for a CSRF token before it looks at who is there, so that is
switched off for these routes, and done here for whoever is known by a cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, request
from flask_appbuilder.api import expose, protect, safe
from flask_jwt_extended import verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_wtf.csrf import CSRFError  # type: ignore[import-untyped]
from jwt import PyJWTError
from superset.extensions import appbuilder
from superset.views.base_api import BaseSupersetApi, statsd_metrics
from werkzeug.exceptions import RequestEntityTooLarge

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable, StoreUnavailable, WarmError
from superset_ext.package import EXTENSION, Package
from superset_ext.settings import PREFIX
from superset_ext.web import schemas

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
                return too_large(self)
        return method(self, *args, **kwargs)

    return checked


def too_large(api: BaseSupersetApi) -> Response:
    return api.response(413, message=f"the body is over {MAX_BYTES} bytes")  # type: ignore[no-any-return]


def _bearer() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is_ours(bearer: str) -> bool:
    token = package().settings.api_token
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


def route(path: str, verb: str) -> Callable[[Method], Method]:
    """All that stands around a method here."""

    def made(method: Method) -> Method:
        whole = guarded(safe(statsd_metrics(answered(method))))
        return expose(path, methods=(verb,))(whole)  # type: ignore[no-any-return]

    return made


def package() -> Package:
    return current_app.extensions[EXTENSION]  # type: ignore[no-any-return]


def log() -> LogDatabase:
    """The log database.

    Raises:
        LogUnavailable: there is none.
    """
    database = package().database
    if database is None:
        raise LogUnavailable(f"no log database; set {PREFIX}LOG_DATABASE_URL to a PostgreSQL URL")
    return database


def body() -> bytes:
    """The body as it came.

    Raises:
        BadRequest: it is not said to be JSON.
        RequestEntityTooLarge: it is over `MAX_BYTES`, said or not.
    """
    if not request.is_json:
        raise schemas.BadRequest("the body is not JSON; send it with Content-Type: application/json")
    whole = request.get_data()
    if len(whole) > MAX_BYTES:  # Werkzeug cuts a body that does not say how long it is
        raise RequestEntityTooLarge
    return whole
