"""Who may say that something changed: Superset's own edits, SQL Lab, uploads, and stock's endpoint.

A webhook says so through the API, PostgreSQL through the listener, a probe through Celery.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.change import Change, Freshness
from superset_ext.freshness.log import keep
from superset_ext.settings import ChangeSource


def install(app: Any, on: Collection[ChangeSource], freshness: Freshness, database: LogDatabase | None) -> None:
    """Listen to those of Superset's own that are switched on; what Redis cannot be told goes to the outbox."""
    from superset_ext.freshness.listeners import http, orm, sqllab

    def tell(change: Change) -> None:
        try:
            freshness.changed(change)
        except StoreUnavailable:
            keep(database, change)

    if "edits" in on:
        orm.install(tell)
    if "sqllab" in on:
        sqllab.install(tell)
    if "uploads" in on:
        http.install_uploads(app, tell)
    if "cachekey" in on:
        http.install_cachekey(app)
