"""Where Superset makes an engine for a chart's query, one that is kept takes its place.

`create_engine` of Superset's module is reached only after the URL and the parameters are final. That it is called for a
chart is known one call earlier. Everything else gets an engine of its own as before: SQL Lab and alerts, whose
sessions people fill with what they like; SSH tunnels and OAuth2, whose connections are one person's or one moment's;
and where a config has its own `ENGINE_CONTEXT_MANAGER`, which may expect to see each connection begin and end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from superset_ext.cache.query import current
from superset_ext.core.signals import count_failure
from superset_ext.sources.engines import Engines

engines: Engines | None = None  # set by `install`; without it, each query has an engine of its own
_keeping: ContextVar[bool] = ContextVar("superset_ext_keeping", default=False)


def of_database(stock: Callable[..., Any]) -> Callable[..., Any]:
    """The seam `Database._get_sqla_engine`: decide whether the engine is one to keep."""

    @wraps(stock)
    def _get_sqla_engine(
        self: Any,
        catalog: str | None = None,
        schema: str | None = None,
        nullpool: bool = True,
        source: Any = None,
        sqlalchemy_uri: str | None = None,
    ) -> Any:
        token = _keeping.set(nullpool and _may_keep(self))
        try:
            return stock(self, catalog, schema, nullpool, source, sqlalchemy_uri)
        finally:
            _keeping.reset(token)

    return _get_sqla_engine


def made(stock: Callable[..., Any]) -> Callable[..., Any]:
    """The seam `create_engine`, as `superset.models.core` calls it."""

    @wraps(stock)
    def create_engine(url: Any, **kwargs: Any) -> Any:
        if engines is None or not _keeping.get():
            return stock(url, **kwargs)
        return engines.engine(stock, url, kwargs)

    return create_engine


def _may_keep(database: Any) -> bool:
    query = current()
    if engines is None or query is None or query.scope.own:
        return False
    try:
        return database.ssh_tunnel is None and database.get_oauth2_config() is None and _is_plain()
    except Exception as error:  # noqa: BLE001  (stock's engine serves as well)
        count_failure("looking whether a source's connections can be kept", error)
        return False


def _is_plain() -> bool:
    from flask import current_app
    from superset import config

    return current_app.config["ENGINE_CONTEXT_MANAGER"] is config.engine_context_manager
