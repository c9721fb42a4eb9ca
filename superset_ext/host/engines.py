"""Where Superset makes an engine for a chart's query, one that is kept takes its place.

`create_engine` of Superset's module is reached only after the URL and the parameters are final. Whatever is no chart's
query gets an engine of its own as before: SQL Lab and alerts, whose sessions people fill with what they like, and the
question for a source's default schema. So do SSH tunnels and OAuth2, whose connections are one moment's or one
person's, and a config with its own `ENGINE_CONTEXT_MANAGER`, which may expect to see each connection begin and end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from superset_ext.cache.sent import under_way
from superset_ext.core.signals import count_failure
from superset_ext.host.documents import told_of_connections
from superset_ext.sources.engines import Engines

engines: Engines | None = None  # set by `install`; without it, each query has an engine of its own


def made(stock: Callable[..., Any]) -> Callable[..., Any]:
    """The seam `create_engine`, as `superset.models.core` calls it."""

    @wraps(stock)
    def create_engine(url: Any, **kwargs: Any) -> Any:
        sent = under_way.get()
        if engines is None or sent is None or not _may_keep(sent.database):
            return told_of_connections(stock(url, **kwargs))
        return engines.engine(stock, url, kwargs, sent.number)

    return create_engine


def _may_keep(database: Any) -> bool:
    try:
        # What an engine spec of somebody's own sends past Superset's `execute` cannot be known.
        is_known = str(database.db_engine_spec.execute.__module__).startswith("superset.")
        return is_known and database.ssh_tunnel is None and database.get_oauth2_config() is None and _is_plain()
    except Exception as error:  # noqa: BLE001  (stock's engine serves as well)
        count_failure("looking whether a source's connections can be kept", error)
        return False


def _is_plain() -> bool:
    from flask import current_app
    from superset import config

    return current_app.config["ENGINE_CONTEXT_MANAGER"] is config.engine_context_manager
