"""Requests to Superset's own API that change what charts show: uploads, and stock's endpoint for invalidation.

Neither tells the caches by itself. Stock's endpoint deletes from another cache than the one that has the charts.
"""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request

from superset_ext.core.signals import count_failure, unfailing
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.change import Change, Source, SourceTable, changed
from superset_ext.freshness.listeners.tell import Tell, noticed
from superset_ext.host.datasets import datasets_in_cachekey_request
from superset_ext.sqltables.table import Table


def install_uploads(app: Flask, tell: Tell) -> None:
    """Tell of files that were uploaded into tables."""

    @app.after_request
    @unfailing("noticing an upload", lambda response: response)
    def uploaded(response: Response) -> Response:
        if request.endpoint == "DatabaseRestApi.upload" and response.status_code == HTTPStatus.CREATED:
            for change in noticed("superset", lambda: (uploaded_table(),)):
                tell(change)
        return response


def uploaded_table() -> Change:
    """What the current request has changed; it is an upload that succeeded."""
    form, database_id = request.form, int((request.view_args or {})["pk"])
    table = Table(form.get("schema") or "", form["table_name"])
    return _by_user("superset", tables=(SourceTable(database_id, table),))


def install_cachekey(app: Flask) -> None:
    """Make `POST /api/v1/cachekey/invalidate` drop the answers of charts too."""

    @app.after_request
    @unfailing("POST /api/v1/cachekey/invalidate", lambda response: response)
    def invalidated(response: Response) -> Response:
        if request.endpoint == "CacheRestApi.invalidate" and response.status_code == HTTPStatus.CREATED:
            return _answer(response)
        return response


def _answer(response: Response) -> Response:
    """Stock's answer; 503 if old answers may still be served, since dropping them is what was asked."""
    try:
        if datasets := datasets_in_cachekey_request(request.json):
            changed(_by_user("webhook", datasets=tuple(datasets)))
    except StoreUnavailable as error:
        return _unavailable(str(error))
    except Exception as error:  # noqa: BLE001  (Superset's metadata, or a body that its schema lets pass)
        count_failure("POST /api/v1/cachekey/invalidate", error)
        return _unavailable("the datasets could not be looked up; nothing was invalidated")
    return response


def _unavailable(message: str) -> Response:
    body = json.dumps({"message": message}, ensure_ascii=False)
    return Response(body, HTTPStatus.SERVICE_UNAVAILABLE, mimetype="application/json")


def _by_user(source: Source, **named: Any) -> Change:
    user = getattr(g, "user", None)
    user_id = getattr(user, "id", None) if user is not None else None
    return Change(source, "data_update", at=time.time(), user_id=user_id, **named)
