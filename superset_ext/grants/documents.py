"""The documents that a dashboard's opening asks for, beside its charts: answers made of the metadata database alone.

They are granted as charts are (see `judge`), with two differences: there are no entries of chart data, so that rights
and objects alone end a grant; and how long ago something was changed is said anew (see `ages`). Which tables a document
was read from is looked at in what was sent: one that is not watched refuses the grant.

A document has an ETag, a digest of its bytes. Whoever has these already is told so with a 304: after the same check of
who asks and of what has changed, so that a 304 says that Superset would give this person these bytes now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from flask import Flask, Response, request

from superset_ext.cache.used import Used
from superset_ext.grants.tables import IDLE
from superset_ext.host.documents import is_clocked, own_function

# Not among them: `me`, which says how often somebody has logged in, and what answers with a token or with an age of a
# session.
ENDPOINTS = frozenset(
    {
        "ChartRestApi.favorite_status",
        "CssTemplateRestApi.get_list",
        "DashboardRestApi.favorite_status",
        "DashboardRestApi.get",
        "DashboardRestApi.get_charts",
        "DashboardRestApi.get_datasets",
        "DashboardRestApi.get_tabs",
        "DatabaseRestApi.get_list",
        "DatasetRestApi.get_drill_info",
        "EmbeddedDashboardRestApi.get",
    }
)
# The documents that have the colors of a dashboard's labels, and who wrote them when.
SHOW_COLORS = frozenset({"DashboardRestApi.get"})
_WORD = re.compile(r"\w+")
_LOGS = "INSERT INTO logs "


def of_app(app: Flask) -> str | None:
    """Why no document is granted in an app; `None` where some may be."""
    if not is_clocked():
        return "what Superset says of the clock is not known"
    function = own_function(app.config)
    return f"{function} may ask anything" if function else None


def of_used(used: Used) -> str | None:
    """Why a document is not granted that was made of this; `None` where it may be."""
    if used.spoiled:
        return used.spoiled
    if used.entries or used.queries:
        return "a document with data in it"
    unwatched = unwatched_tables(used.statements or ())
    return f"it reads {unwatched[0]}" if unwatched else None


def unwatched_tables(statements: Iterable[str]) -> list[str]:
    """The tables without a trigger that statements may have read."""
    words = {word for text in statements if not text.startswith(_LOGS) for word in _WORD.findall(text)}
    return sorted(words & IDLE.keys())


def tag(response: Response, body: bytes) -> None:
    """Mark a document as one that the browser asks for anew each time, and need not be sent again."""
    response.set_etag(sha256(body).hexdigest()[:32])
    if not response.cache_control:
        response.cache_control.private = True
        response.cache_control.no_cache = True
    response.make_conditional(request)
