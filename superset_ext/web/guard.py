"""Who may use the routes of `/api/v1/performance`.

People come with a session of Superset and its CSRF token, or with a JWT or an API key. A machine may come with the
token of the settings, to the routes that take it. Superset asks for a CSRF token before it looks at who is there. So
its check is switched off for these routes, and made here for those who are known by a cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, request
from flask_appbuilder.api import protect
from flask_jwt_extended import verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_wtf.csrf import CSRFError  # type: ignore[import-untyped]
from jwt import PyJWTError
from werkzeug.exceptions import RequestEntityTooLarge

from superset_ext.host.api import BaseSupersetApi
from superset_ext.host.services import appbuilder
from superset_ext.package import package
from superset_ext.web.request import MAX_BYTES

Method = Callable[..., Response]


def guarded(method: Method, takes_token: bool) -> Method:
    """Let in whoever has the permission, and where `takes_token` whoever has the settings' token; a method of an API.

    A token that is not taken is no JWT either, and gets a 401.
    """
    for_users = protect(allow_browser_login=True)(_with_csrf(method))

    @wraps(for_users)
    def admitted(self: BaseSupersetApi, *args: Any, **kwargs: Any) -> Response:
        request.max_content_length = MAX_BYTES + 1
        bearer = _bearer()
        if takes_token and bearer is not None and _is_ours(bearer):
            return method(self, *args, **kwargs)
        try:
            if bearer is not None and not _is_api_key():
                verify_jwt_in_request(locations=["headers"])
            return for_users(self, *args, **kwargs)  # type: ignore[no-any-return]
        except (PyJWTError, JWTExtendedException):
            return self.response_401()  # type: ignore[no-any-return]

    return admitted


def _with_csrf(method: Method) -> Method:
    """Ask for a CSRF token, unless a header says who is there: no other site can make a browser send that header."""

    @wraps(method)
    def checked(self: BaseSupersetApi, *args: Any, **kwargs: Any) -> Response:
        csrf = current_app.extensions.get("csrf")
        if csrf is not None and _bearer() is None:
            try:
                csrf.protect()
            except CSRFError as error:
                return self.response_400(message=error.description)  # type: ignore[no-any-return]
            except RequestEntityTooLarge:  # it reads the body too
                return too_large(self)
        return method(self, *args, **kwargs)

    return checked


def too_large(api: BaseSupersetApi) -> Response:
    """The answer to a body over `MAX_BYTES`."""
    return api.response(413, message=f"the body is over {MAX_BYTES} bytes")  # type: ignore[no-any-return]


def _bearer() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is_ours(bearer: str) -> bool:
    token = package().settings.api_token
    return bool(token) and hmac.compare_digest(bearer.encode(), token.encode())


def _is_api_key() -> bool:
    """Whether `protect` checks it, as a key of Superset's own."""
    on = current_app.config.get("FAB_API_KEY_ENABLED", False)
    return bool(on) and appbuilder.sm.extract_api_key_from_request() is not None
