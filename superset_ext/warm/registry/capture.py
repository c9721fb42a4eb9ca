"""Sees the chart requests that come over HTTP, and hands them to the registry when they end.

The queries of a request are told one by one (`signals.asked`); a request is noted whole, once, after
its answer was made. Our own browser says in a signed header that it is not a person.
"""

from __future__ import annotations

import hmac
import time
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, has_request_context, request

from superset_ext.events import Asked, asked
from superset_ext.host.scope import is_warming, mark_as_warming
from superset_ext.warm.registry.requests import ENDPOINTS, ChartRequest, safe_args
from superset_ext.warm.registry.store import Registry, Use
from superset_ext.warm.registry.who import asking

HEADER = "X-Superset-Ext-Discovery"
_HOUR = 3600


def install(app: Flask, registry: Registry) -> None:
    """Capture from now on."""
    asked.connect(_collect)
    app.before_request(_mark)

    @app.after_request
    def note(response: Response) -> Response:
        heard = g.pop("superset_ext_asked", None)
        if heard and not is_warming() and _is_worth(response, heard):
            registry.note(_use(heard))
        return response


def _is_worth(response: Response, heard: list[Asked]) -> bool:
    """Whether it was answered, and by what is cached; a worker computes what was accepted."""
    if response.status_code == HTTPStatus.OK:
        return any(answer.hit or answer.stored for event in heard for answer in event.answers)
    return response.status_code == HTTPStatus.ACCEPTED


def credential(secret_key: str | bytes, hour: int | None = None) -> str:
    """What our browser's requests carry; good for this hour and the next."""
    key = secret_key.encode() if isinstance(secret_key, str) else secret_key
    moment = int(time.time()) // _HOUR if hour is None else hour
    return hmac.new(key, f"superset_ext discovery {moment}".encode(), "sha256").hexdigest()


def chart_request() -> ChartRequest | None:
    """The current request, if it is one for chart data."""
    kind = ENDPOINTS.get(request.endpoint or "")
    if kind is None:
        return None
    form = request.form.get("form_data")
    plain = "" if kind == "stored" else request.get_data(as_text=True)  # whose context Superset has stored
    body = plain if form is None else form
    return ChartRequest(kind, request.path, safe_args(request.query_string.decode()), body, form is not None)


def _mark() -> None:
    """Tell the requests of our own browser from people's."""
    said = request.headers.get(HEADER)
    if said and _is_ours(said):
        mark_as_warming()


def _is_ours(said: str) -> bool:
    from flask import current_app

    now = int(time.time()) // _HOUR
    keys = [current_app.config["SECRET_KEY"]]
    return any(hmac.compare_digest(said, credential(key, hour)) for key in keys for hour in (now, now - 1))


def _collect(_channel: str, event: Asked) -> None:
    if has_request_context() and event.scope.counted and request.endpoint in ENDPOINTS:
        g.setdefault("superset_ext_asked", []).append(event)


def _use(heard: list[Asked]) -> Use:
    scope = heard[0].scope
    answers = tuple(answer for event in heard for answer in event.answers)
    found: Any = chart_request()
    ids = (scope.dashboard_id, scope.chart_id, scope.dataset_id, scope.database_id)
    return Use(found, asking(), answers, ids, time.time())
