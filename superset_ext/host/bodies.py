"""What kind of body a request has, and that body, for whoever looks at it when the request has ended."""

from __future__ import annotations

from functools import lru_cache

from flask import Request
from werkzeug.http import parse_options_header

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_KINDS = 256  # that a process has parsed and keeps


def mimetype(request: Request) -> str:
    """As Werkzeug's: the kind of the body, in lower case and without parameters.

    Browsers send the same few headers each time; Werkzeug parses the header for each request.
    """
    return _mimetype(request.environ.get("CONTENT_TYPE", ""))


@lru_cache(maxsize=_KINDS)
def _mimetype(header: str) -> str:
    return parse_options_header(header)[0].lower()


def is_form(request: Request) -> bool:
    """Whether the body is that of a form, of which Flask reads the fields."""
    return mimetype(request) in _FORMS


def read(request: Request) -> Request:
    """The request, whose body is in memory from now on."""
    if is_form(request):
        request.form  # noqa: B018  (what was asked for is kept)
    else:
        request.get_data()
    return request
