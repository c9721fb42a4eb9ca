"""Switches on the hooks that the settings name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.freshness.change import Freshness
from superset_ext.freshness.listeners import http, orm, sqllab
from superset_ext.freshness.listeners.tell import telling
from superset_ext.settings import ChangeSource


def install(app: Any, on: Collection[ChangeSource], freshness: Freshness, database: LogDatabase | None) -> None:
    """Listen to Superset from now on.

    Args:
        on: the sources of changes that are switched on.
        database: has the outbox.
    """
    tell = telling(freshness, database)
    if "edits" in on:
        orm.install(tell)
    if "sqllab" in on:
        sqllab.install(tell)
    if "uploads" in on:
        http.install_uploads(app, tell)
    if "cachekey" in on:
        http.install_cachekey(app)
