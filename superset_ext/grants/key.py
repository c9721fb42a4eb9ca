"""What makes two requests the same: nothing that Superset's answer depends on is left out."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from flask import Flask, Request, request, session

from superset_ext.cache.keyring import KeyRing
from superset_ext.grants import colors
from superset_ext.grants.identity import Caller
from superset_ext.host.bodies import is_form, mimetype
from superset_ext.host.granting import complete_configuration

PREFIX = "grant:"
MAX_BODY = 1 << 20
# What a view, a log or a count may read; the cookie is in the identity, and the rest of it in the session.
_HEADERS = ("Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Origin", "Range", "X-Requested-With")
_NAMES = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in _HEADERS)  # in the environment of a request
_FORMAT = 5  # of what is kept under a key


class Keys:
    """Writes keys, which say nothing of what they are made from.

    Args:
        app: the app, with its configuration as it is for good.
        ring: the signing keys.
        with_colors: whether the colors of labels are in a key, too, since somebody else may log them.
    """

    def __init__(self, app: Flask, ring: KeyRing, with_colors: bool = False) -> None:
        complete_configuration()
        self._with_colors = with_colors
        self._key = ring.keys[0]
        self._setup = self._digest(json.dumps([_FORMAT, _plain(dict(app.config))], sort_keys=True).encode())

    def key(self, caller: Caller) -> str | None:
        """The key of the current request; `None` for one too large to read again, or with uploads."""
        asked = request._get_current_object()  # type: ignore[attr-defined]  # each look through the proxy takes time
        environ, of_form = asked.environ, is_form(asked)
        content = _form(asked) if of_form else _body(asked)
        if content is None:
            return None
        if not of_form and self.leaves_colors_out(asked):
            content = colors.without(content)
        # A form's fields are read by now, and its boundary is another one each time.
        kind = mimetype(asked) if of_form else environ.get("CONTENT_TYPE")
        parts = (
            self._setup, caller.kind, caller.identity.name, caller.claims, session.get("locale"), asked.method,
            asked.script_root, asked.path, environ.get("QUERY_STRING"), kind, _is_report(environ),
            *map(environ.get, _NAMES),
        )  # fmt: skip
        # Strings, `None` and truth values alone, of which `ascii` writes any two in two ways; it is quicker than JSON.
        # It writes no zero byte, so the parts end where the first one is.
        return PREFIX + self._digest(ascii(parts).encode() + b"\0" + content)

    def leaves_colors_out(self, asked: Request) -> bool:
        """Whether the colors of labels are not in the key of a request."""
        return not self._with_colors and asked.endpoint == colors.ENDPOINT and mimetype(asked) == "application/json"

    def _digest(self, content: bytes) -> str:
        return hmac.digest(self._key, content, "sha256").hex()


def _form(asked: Request) -> bytes | None:
    if (asked.content_length or 0) > MAX_BODY or asked.files:
        return None
    # CSRF protection may have read it as a form by now, and then there are no raw bytes left.
    return json.dumps(list(asked.form.items(multi=True))).encode()


def _body(asked: Request) -> bytes | None:
    if (asked.content_length or 0) > MAX_BODY:
        return None
    body = asked.get_data()
    return None if len(body) > MAX_BODY else body


def _is_report(environ: Mapping[str, Any]) -> bool:
    return "standalone=" in environ.get("HTTP_REFERER", "")


def _plain(value: Any) -> Any:
    """A value of the configuration as JSON that is the same in every process; of code, what it is called."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_plain(part), sort_keys=True) for part in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    code = getattr(value, "__code__", None)
    name = getattr(value, "__qualname__", type(value).__qualname__)
    return [name, code.co_code.hex() if code else "", version("apache-superset")]
