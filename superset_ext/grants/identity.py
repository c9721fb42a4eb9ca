"""Who asks, from the credential alone: without a statement on the metadata database.

A request has exactly one credential: a session that somebody logged in to, a JWT, or a guest token. Each is checked as
Superset checks it, every time. What is not as plain as that has no caller here, and Superset finds out itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from flask import Flask, current_app, g, request, session
from flask.sessions import SecureCookieSession

from superset_ext.host.people import Identity

Kind = Literal["session", "jwt", "guest"]
_VALIDITY = frozenset({"iat", "exp", "nbf", "jti"})  # claims that say how long a token is valid, and nothing else
_OF_NOBODY = frozenset(
    {"locale", "_fresh", "csrf_token"}
)  # what Superset keeps in the session of who has not logged in
# Methods of Superset's security manager that concern how somebody logs in, which a session shows to have happened.
_OF_LOGIN = (
    "auth_user_",
    "oauth_",
    "get_oauth_",
    "set_oauth_",
    "_ldap",
    "_search_ldap",
    "register_views",
    "__",
    "add_",
)


_READ = "superset_ext_tokens"  # in an app's extensions: tokens whose signatures were checked
_TOKENS = 1000  # that an app remembers


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        kind: of the credential.
        identity: who it names.
        claims: of a guest's token, all that is not about its validity, as text; else empty.
    """

    kind: Kind
    identity: Identity
    claims: str = ""

    def is_current_user(self) -> bool:
        """Whether Superset, which has answered by now, took the same person for the one who asks."""
        from superset_ext.host.services import get_user_id, security_manager

        guest = security_manager.get_current_guest_user_if_guest()
        if guest is not None:
            return self.kind == "guest" and _claims(guest.guest_token) == self.claims
        user = g.get("user")
        is_anonymous = user is None or getattr(user, "is_anonymous", True)
        return not is_anonymous and self.kind != "guest" and get_user_id() == self.identity.user_id


def caller() -> Caller | None:
    """Who makes the current request; `None` where the credential is none of the plain ones."""
    app, headers = current_app._get_current_object(), request.headers  # type: ignore[attr-defined]
    own: Any = session._get_current_object()  # type: ignore[attr-defined]
    header, guest = headers.get("Authorization"), headers.get(app.config["GUEST_TOKEN_HEADER_NAME"])
    remembered = app.config.get("REMEMBER_COOKIE_NAME", "remember_token") in request.cookies
    if remembered or type(own) is not SecureCookieSession:
        return None
    if "_user_id" in own:
        return _of_session(app, own) if header is None and guest is None else None
    if (header is None) == (guest is None) or set(own) - _OF_NOBODY or (own and not _is_protected(app, own)):
        return None
    return _of_jwt(app, header) if header is not None else _of_guest(app, guest or "")


def _of_session(app: Any, own: SecureCookieSession) -> Caller | None:
    if "_remember" in own or not _is_protected(app, own):
        return None
    number = str(own["_user_id"])
    return Caller("session", Identity(int(number))) if number.isdigit() else None


def _is_protected(app: Any, own: SecureCookieSession) -> bool:
    """Whether Flask-Login takes the session for that of this browser, and leaves it as it is."""
    manager = app.login_manager
    mode = app.config.get("SESSION_PROTECTION", manager.session_protection)
    if not mode or own.get("_id") == manager._session_identifier_generator():
        return True
    return bool((mode == "basic" or own.permanent) and own.get("_fresh") is False)


def _of_jwt(app: Any, header: str) -> Caller | None:
    scheme, _, token = header.partition(" ")
    if scheme != "Bearer" or not token or " " in token:
        return None
    return _read(app, token, _of_access_token)


def _of_access_token(token: str) -> tuple[Caller | None, Mapping[str, Any]]:
    from flask_jwt_extended import decode_token

    claims = decode_token(token)
    number = str(claims["sub"])
    is_plain = claims.get("type") == "access" and number.isdigit()
    return Caller("jwt", Identity(int(number))) if is_plain else None, claims


def _of_guest(app: Any, token: str) -> Caller | None:
    if callable(app.config.get("GUEST_TOKEN_JWT_AUDIENCE")):  # it may say another one each time
        return _checked(token, _of_guest_token)[0]
    return _read(app, token, _of_guest_token)


def _of_guest_token(token: str) -> tuple[Caller | None, Mapping[str, Any]]:
    from superset_ext.host.services import security_manager

    claims: Mapping[str, Any] = security_manager.parse_jwt_guest_token(token)
    complete = all(claims.get(name) is not None for name in ("user", "resources", "rls_rules"))
    if not complete or claims.get("type") != "guest":
        return None, claims
    return Caller("guest", Identity.of_claims(claims), _claims(claims)), claims


_Check = Callable[[str], tuple[Caller | None, Mapping[str, Any]]]


def _checked(token: str, check: _Check) -> tuple[Caller | None, Mapping[str, Any]]:
    try:
        return check(token)
    except Exception:  # noqa: BLE001  (whatever is wrong with it, Superset says so)
        return None, {}


def _read(app: Any, token: str, check: _Check) -> Caller | None:
    """Whom a token names. Its signature says the same each time; by when it ends is looked at each time."""
    tokens: dict[bytes, tuple[Caller, float, float]] = app.extensions.setdefault(_READ, {})
    name, now = sha256(f"{check.__name__} {token}".encode()).digest(), time.time()
    known = tokens.get(name)
    if known is not None and known[1] <= now < known[2]:
        return known[0]
    who, claims = _checked(token, check)
    if who is not None:
        if len(tokens) >= _TOKENS:
            tokens.clear()
        end = claims.get("exp")
        tokens[name] = who, now, float("inf") if end is None else float(int(end))
    return who


def _claims(token: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in token.items() if name not in _VALIDITY}, sort_keys=True)


def unknowable(app: Flask) -> str | None:
    """Why nobody can tell from the credential alone whom this app takes for who asks; `None` where one can."""
    from flask_jwt_extended.internal_utils import get_jwt_manager

    from superset_ext.host.services import security_manager

    foreign = _foreign_methods(type(security_manager._get_current_object()))
    if foreign:
        return f"CUSTOM_SECURITY_MANAGER decides in {', '.join(foreign)}"
    if list(app.config.get("JWT_TOKEN_LOCATION", ["headers"])) != ["headers"]:
        return "JWT_TOKEN_LOCATION is not the header alone"
    if app.config.get("JWT_IDENTITY_CLAIM") != "sub":
        return "JWT_IDENTITY_CLAIM is another one"
    if app.config.get("JWT_HEADER_NAME") != "Authorization" or app.config.get("JWT_HEADER_TYPE") != "Bearer":
        return "JWTs come in another header"
    manager = get_jwt_manager()
    login = app.login_manager  # type: ignore[attr-defined]
    for loader in (login._user_callback, login._request_callback, manager._user_lookup_callback):
        if getattr(loader, "__self__", None) is not security_manager._get_current_object():
            return "a callback of Flask-Login or Flask-JWT-Extended decides who asks"
    for name in ("_token_in_blocklist_callback", "_token_verification_callback"):
        if not getattr(manager, name).__module__.startswith("flask_jwt_extended."):
            return "a callback of Flask-JWT-Extended decides about tokens"
    return None


def _foreign_methods(kind: type) -> list[str]:
    """Methods of a security manager that are neither Superset's nor about logging in."""
    own = ("superset.", "flask_appbuilder.", "superset_ext.", "builtins")
    methods: list[str] = []
    for base in kind.__mro__:
        if not base.__module__.startswith(own):
            methods += [name for name, value in vars(base).items() if callable(value) and not _is_login(name, value)]
    return sorted(methods)


def _is_login(name: str, value: Any) -> bool:
    return name.startswith(_OF_LOGIN) or (isinstance(value, type) and name.startswith("auth"))
