"""Session cookies whose signatures this process has checked before: a browser sends the same one with each request.

Flask derives a key and checks the signature of a cookie each time. The same bytes have the same signature, so that is
not done again. How old a cookie is, is looked at each time; and each request gets a session of its own, which it may
write to. A session that holds more than plain values, as the messages of a form, is read anew each time.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from itsdangerous import URLSafeTimedSerializer

from superset_ext.core.fork_reset import reset_on_fork

MOST = 1000  # cookies that a process remembers; each has 4 kB at most
_FILES = "static"  # the endpoint of Superset's files
_DIGEST = re.compile(r"[./](?:[0-9a-f]{8}|[0-9a-f]{20})\.[^/]+$")  # as webpack writes it into their names
_PLAIN = (str, int, float, bool, type(None))  # what nobody can change in place


class RememberingSerializer(URLSafeTimedSerializer):
    """Reads what it has read before without checking the signature again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known: dict[str | bytes, tuple[dict[str, Any], int]] = {}  # the session, and when it was signed

    def loads(  # type: ignore[override]  # as itsdangerous's own, whose other class takes fewer
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> Any:
        """See `TimedSerializer.loads`.

        Raises:
            BadSignature: the cookie was changed, or is older than `max_age` seconds.
        """
        if return_timestamp or salt is not None:
            return super().loads(s, max_age, return_timestamp, salt)
        known = self._known.get(s)
        if known is not None and (max_age is None or 0 <= int(time.time()) - known[1] <= max_age):
            return dict(known[0])
        payload, signed = super().loads(s, max_age, return_timestamp=True)
        if isinstance(payload, dict) and all(type(value) in _PLAIN for value in payload.values()):
            self._remember(s, dict(payload), int(signed.timestamp()))
        return payload

    def _remember(self, s: str | bytes, payload: dict[str, Any], signed: int) -> None:
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[s] = payload, signed


class RememberingSessions(SecureCookieSessionInterface):
    """Flask's sessions, with a serializer that is kept for as long as the keys are the same.

    An answer for which a session was read says so (`Vary: Cookie`), and a browser asks for it again once its cookie is
    another one. Superset reads the session before each answer, of files too: after each log-in a browser asks about
    all of its scripts again. A file that has a digest in its name is the same for everybody for ever, and does not say
    so here. Others do, since a browser may have them of an earlier Superset.
    """

    def __init__(self) -> None:
        reset_on_fork(self)

    def reset(self) -> None:
        """Remember nothing."""
        self._kept: tuple[Any, RememberingSerializer] | None = None

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """See `SecureCookieSessionInterface`."""
        keys = app.secret_key, tuple(app.config.get("SECRET_KEY_FALLBACKS") or ())
        kept = self._kept
        if kept is not None and kept[0] == keys:
            return kept[1]
        plain = super().get_signing_serializer(app)
        if plain is None:
            return None
        serializer = RememberingSerializer(
            plain.secret_keys, salt=plain.salt, serializer=plain.serializer, signer_kwargs=plain.signer_kwargs
        )
        self._kept = keys, serializer
        return serializer

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """See `SecureCookieSessionInterface`."""
        if session.modified or session.permanent or not _is_lasting(response):
            super().save_session(app, session, response)


def _is_lasting(response: Response) -> bool:
    """Whether a file is answered that is the same for ever."""
    is_file = request.endpoint == _FILES and response.status_code < HTTPStatus.BAD_REQUEST
    return is_file and _DIGEST.search(request.path) is not None


def install(app: Flask) -> None:
    """Remember the sessions of an app whose sessions are Flask's own."""
    if type(app.session_interface) is SecureCookieSessionInterface:
        app.session_interface = RememberingSessions()
