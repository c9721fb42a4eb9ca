"""A request whose answer may be granted from now on: what Superset does for it, and the grant that it comes to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Response, g, has_request_context, request, session

from superset_ext.cache.used import Used
from superset_ext.errors import Unanswerable
from superset_ext.events import Asked, Outcome
from superset_ext.grants import documents
from superset_ext.grants.ages import ages_of
from superset_ext.grants.identity import Caller
from superset_ext.grants.judge import Grant
from superset_ext.grants.moving import cut, ranges_of
from superset_ext.grants.replayed import Replayed

_NAME = "superset_ext_grant"  # of the capture, in Flask's `g`


@dataclass(slots=True)
class Capture:
    """What is noted of a request.

    Attributes:
        mark: what rights and objects were as of, before Superset read any.
        since: when that was at the latest, by the monotonic clock: a grant lives from then on.
        session: what was in the session.
        plain: the body before it was compressed.
        lasting: why what was asked so far is not granted, whatever the answer.
        key_moves: see `Grant`.
    """

    key: str
    caller: Caller
    mark: tuple[str, str]
    session: Mapping[str, Any]
    used: Used
    plain: bytes = b""
    hits: list[Outcome] = field(default_factory=list)
    queries: list[Asked] = field(default_factory=list)
    lasting: str | None = None
    key_moves: bool = False
    is_document: bool = False
    since: float = field(default_factory=time.monotonic)


def begin(capture: Capture) -> None:
    """Note what Superset does for the current request from here on."""
    setattr(g, _NAME, capture)


def current() -> Capture | None:
    """What is noted of the current request; `None` where nothing is."""
    return g.get(_NAME) if has_request_context() else None


def end() -> Capture | None:
    """What was noted of the current request, of which nothing is noted any more."""
    capture: Capture | None = g.pop(_NAME, None)
    return capture


def why_short(capture: Capture) -> str | None:
    """Why it is not known all that Superset did for an answer."""
    if capture.is_document:
        return documents.of_used(capture.used)
    if not capture.queries:
        return "no chart"
    return None if capture.used.records else "nothing of it was logged"


def why_other(capture: Capture) -> str | None:
    """Why Superset's answer is not surely one to this caller alone."""
    if not capture.caller.is_current_user():
        return "Superset takes somebody else for who asks"
    now = dict(session)
    now.pop("locale", None)
    before = {name: value for name, value in capture.session.items() if name != "locale"}
    if now != before or capture.session.get("locale", session.get("locale")) != session.get("locale"):
        return "the session was changed"
    return None


def granted(capture: Capture, response: Response, colors: str) -> Grant:
    """The grant of a response.

    Args:
        colors: see `Grant`.

    Raises:
        Unanswerable: it cannot be given again.
    """
    ranges = tuple(ranges_of(capture.used.queries))
    pieces = cut(capture.plain, ranges) if ranges else []
    moves = len(pieces) > 1
    body = pieces if moves else [response.get_data()]
    encoding = None if moves else response.headers.get("Content-Encoding")
    locale = session.get("locale") if "locale" not in capture.session else None
    return Grant(
        capture.mark, response.headers["Content-Type"], encoding, tuple(body), ranges,
        bool(ranges) and capture.key_moves, locale, _replayed(capture), capture.is_document,
        ages_of(capture.used.moments), _boards(capture), colors,
    )  # fmt: skip


def _replayed(capture: Capture) -> tuple[str, str]:
    try:
        return Replayed(tuple(capture.hits), tuple(capture.queries), tuple(capture.used.records)).packed()
    except (TypeError, ValueError) as error:
        raise Unanswerable("what was logged is more than JSON says") from error


def _boards(capture: Capture) -> tuple[int, ...] | None:
    """See `Grant.dashboards`."""
    read = capture.used.dashboards
    if read is None:
        return None
    colored = {-number for number in read} if request.endpoint in documents.SHOW_COLORS else set()
    return tuple(sorted(read | colored))
