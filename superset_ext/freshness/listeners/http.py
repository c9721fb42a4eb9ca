"""Requests to Superset's own API that change what charts show, and say so nowhere else: uploads, and stock's own
endpoint for invalidation, which deletes from another cache than the one that charts are in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request

from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.change import Change, SourceTable, changed
from superset_ext.freshness.listeners.orm import Tell
from superset_ext.sqltables.table import Table


def install_uploads(app: Flask, tell: Tell) -> None:
    """Tell of files that were uploaded into tables."""

    @app.after_request
    def uploaded(response: Response) -> Response:
        if request.endpoint == "DatabaseRestApi.upload" and response.status_code == HTTPStatus.CREATED:
            tell(upload())
        return response


def upload() -> Change:
    """What the current request, an upload that succeeded, has written."""
    form, database_id = request.form, int((request.view_args or {})["pk"])
    table = Table(form.get("schema") or "", form["table_name"])
    return _by_user("superset", tables=(SourceTable(database_id, table),))


def install_cachekey(app: Flask) -> None:
    """Have `POST /api/v1/cachekey/invalidate` do what it says."""

    @app.after_request
    def invalidated(response: Response) -> Response:
        if request.endpoint == "CacheRestApi.invalidate" and response.status_code == HTTPStatus.CREATED:
            return _told(response, named_datasets)
        return response


def _told(response: Response, named: Callable[[], list[int]]) -> Response:
    try:
        datasets = named()
        if datasets:
            changed(_by_user("webhook", datasets=tuple(datasets)))
    except StoreUnavailable as error:
        return Response(f'{{"message": "{error}"}}', HTTPStatus.SERVICE_UNAVAILABLE, mimetype="application/json")
    return response


def named_datasets() -> list[int]:
    """Ids of the datasets that the current request, one to stock's endpoint, names."""
    from superset.cachekeys.schemas import CacheInvalidationRequestSchema

    said: dict[str, Any] = CacheInvalidationRequestSchema().load(request.json)
    found = {int(uid.split("__")[0]) for uid in said.get("datasource_uids", []) if uid.split("__")[0].isdigit()}
    for each in said.get("datasources", []):
        found |= _datasets(each)
    return sorted(found)


def _datasets(said: dict[str, Any]) -> set[int]:
    """Datasets by their names; unlike stock's, a script that was written before there were catalogs finds them."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database

    query = db.session.query(SqlaTable.id).join(Database, SqlaTable.database_id == Database.id)
    query = query.filter(Database.database_name == said.get("database_name"))
    query = query.filter(SqlaTable.table_name == said.get("datasource_name"))
    for name in ("schema", "catalog"):
        if said.get(name):
            query = query.filter(getattr(SqlaTable, name) == said[name])
    return {row[0] for row in query}


def _by_user(source: Any, **named: Any) -> Change:
    user = getattr(g, "user", None)
    user_id = getattr(user, "id", None) if user is not None else None
    return Change(source, "data_update", at=time.time(), user_id=user_id, **named)
