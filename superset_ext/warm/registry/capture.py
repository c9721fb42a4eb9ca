"""Captures the chart requests that come over HTTP, and hands each to the registry when it ends.

The queries of a request end one by one, each with the signal `asked`. A request is noted once and whole, after its
answer was made. Requests of our own browser carry a signed header, because they are no person's.
"""

from __future__ import annotations

import hmac
import time
from functools import partial
from http import HTTPStatus

from flask import Flask, Request, Response, current_app, g, has_request_context, request

from superset_ext.core.signals import unfailing
from superset_ext.events import Asked, asked
from superset_ext.host.behind import behind
from superset_ext.host.bodies import is_form, read
from superset_ext.host.given_again import GivenAgain, given_again
from superset_ext.host.people import Identity, current_identity
from superset_ext.host.scope import is_warming, mark_as_warming
from superset_ext.warm.registry.registry import Registry
from superset_ext.warm.registry.requests import ENDPOINTS, ChartRequest, safe_args
from superset_ext.warm.registry.uses import Ids, Use

HEADER = "X-Superset-Ext-Discovery"
_ENDED = "superset_ext_asked"  # name in Flask's `g` of the queries that have ended
_HOUR = 3600


def install(app: Flask, registry: Registry) -> None:
    """Capture from now on."""
    asked.connect(_collect)
    app.before_request(_mark_own_browser)

    @unfailing("remembering a request for warming", lambda response: response)
    def note(response: Response) -> Response:
        _note(registry, response)
        return response

    def note_again(_: Flask, event: GivenAgain) -> None:
        queries = [query for query in event.queries if query.scope.counted]
        if queries:
            _remember(registry, event.request, queries, event.identity, event.at)

    given_again.connect(note_again, sender=app, weak=False)
    # Flask calls them in the reverse order: this one last, when nobody puts another response in the place of this one.
    app.after_request_funcs.setdefault(None, []).insert(0, note)


def _note(registry: Registry, response: Response) -> None:
    queries = g.pop(_ENDED, None)
    if not queries or is_warming() or not _is_worth_noting(response, queries):
        return
    whole = read(request._get_current_object())  # type: ignore[attr-defined]
    behind(response, partial(_remember, registry, whole, queries, current_identity(), time.time()))


@unfailing("remembering a request for warming")
def _remember(registry: Registry, request: Request, queries: list[Asked], identity: Identity, at: float) -> None:
    if chart := chart_request(request):
        registry.note(_use(chart, queries, identity, at))


def _is_worth_noting(response: Response, queries: list[Asked]) -> bool:
    """Whether the request was answered with something that is cached; after a 202 a worker computes the answer."""
    if response.status_code == HTTPStatus.OK:
        return any(answer.hit or answer.stored for query in queries for answer in query.answers)
    return response.status_code == HTTPStatus.ACCEPTED


def credential(secret_key: str | bytes, hour: int | None = None) -> str:
    """The value of `HEADER` in our browser's requests, good for this hour and the next.

    Args:
        hour: hours since 1970; now by default.
    """
    key = secret_key.encode() if isinstance(secret_key, str) else secret_key
    moment = int(time.time()) // _HOUR if hour is None else hour
    return hmac.new(key, f"superset_ext discovery {moment}".encode(), "sha256").hexdigest()


def chart_request(request: Request) -> ChartRequest | None:
    """A request as it is kept, or `None` if it is not for chart data."""
    kind = ENDPOINTS.get(request.endpoint or "")
    if kind is None:
        return None
    # Without a form there is nothing to parse; to find that out by `form` takes longer.
    form = request.form.get("form_data") if is_form(request) else None
    plain = "" if kind == "stored" else request.get_data(as_text=True)  # Superset itself has stored that context
    body = plain if form is None else form
    return ChartRequest(kind, request.path, safe_args(request.query_string.decode()), body, form is not None)


@unfailing("recognising the warming browser")
def _mark_own_browser() -> None:
    """Give the requests of our own browser the channel `warm`."""
    value = request.headers.get(HEADER)
    if value and _is_ours(value):
        mark_as_warming()


def _is_ours(value: str) -> bool:
    now = int(time.time()) // _HOUR
    key = current_app.config["SECRET_KEY"]
    # As bytes: a browser may send any, and two strings are compared only where both are ASCII.
    return any(hmac.compare_digest(value.encode(), credential(key, hour).encode()) for hour in (now, now - 1))


def _collect(_channel: str, event: Asked) -> None:
    if has_request_context() and event.scope.counted and request.endpoint in ENDPOINTS:
        g.setdefault(_ENDED, []).append(event)


def _use(chart: ChartRequest, queries: list[Asked], identity: Identity, at: float) -> Use:
    scope = queries[0].scope
    answers = tuple(answer for query in queries for answer in query.answers)
    ids = Ids(scope.dashboard_id, scope.chart_id, scope.dataset_id, scope.database_id)
    return Use(chart, identity, answers, ids, at)
