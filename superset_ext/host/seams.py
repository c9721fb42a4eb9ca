"""The functions of Superset that are wrapped, and nothing else.

Superset has no hook that says which chart a cache read is for. `get_df_payload`, of
`QueryContextProcessor` and of the old `BaseViz`, is the one place that web, Celery, reports,
embedded pages and warming all pass. Each is wrapped to

- run it as a query with its **scope** (see `host.scope`),
- clear `force` while it runs: stock never reads the cache then, and a forced read could be neither
  counted nor joined to another one; the region answers the read of a forced query with a miss,
- answer the last read of an asynchronous chart from the database when its entry has gone since
  the worker wrote it; stock answers 422.

`Database.get_df`, through which every chart's query goes to its source, is wrapped to tell what that took: raw cursors
fire no event of SQLAlchemy's.

A seam is applied only where Superset's version and the function's parameters are the ones it was written for.
Otherwise it steps aside with one warning, and the caches work without scopes.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.metadata import version
from typing import Any

from superset_ext.cache import used
from superset_ext.cache.query import Query, current, running
from superset_ext.core.signals import tell
from superset_ext.core.warn_once import warn
from superset_ext.events import Miss, Outcome, Queried, queried
from superset_ext.host.scope import is_fetch, layers_of, own_scope, scope_of
from superset_ext.host.sharing import annotation_keys, dataset_keys
from superset_ext.settings import Region

logger = logging.getLogger(__name__)

SUPPORTED = ("6.1.",)
_MARK = "_superset_ext_seam"

Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


def apply() -> list[str]:
    """Wrap what can be wrapped, once a process; returns what was left alone and why, a line each."""
    return [reason for seam in SEAMS if (reason := _apply(*seam))]


def _apply(module: str, owner: str, name: str, parameters: tuple[str, ...], wrapper: Wrapper) -> str | None:
    label = f"{module}.{owner}.{name}"
    target = getattr(import_module(module), owner, None)
    function = getattr(target, name, None)
    if function is None:
        return f"{label} is gone"
    if getattr(function, _MARK, False):
        return None
    release = version("apache-superset")
    if not release.startswith(SUPPORTED):
        return f"{label} is untested with Superset {release}"
    actual = tuple(inspect.signature(function).parameters)
    if actual != parameters:
        return f"{label} takes {actual}, not {parameters}"
    wrapped = wrapper(function)
    setattr(wrapped, _MARK, True)
    setattr(target, name, wrapped)
    return None


def _query_context(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df_payload(self: Any, query_obj: Any, force_cached: bool | None = False) -> Any:
        context = self._query_context
        scope = scope_of(context, context.form_data, bool(context.force), bool(force_cached))
        layers = layers_of(getattr(query_obj, "annotation_layers", None))
        used.note_query(query_obj)
        with running(scope, context.datasource, layers) as query, _attributes(context, force=False):
            return _counted(query, lambda: stock(self, query_obj, bool(force_cached) and not is_fetch()))

    return get_df_payload


def _viz(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df_payload(self: Any, query_obj: Any = None, **kwargs: Any) -> Any:
        scope = scope_of(self, self.form_data, bool(self.force), bool(self.force_cached))
        cached = bool(self.force_cached) and not is_fetch()
        layers = layers_of(self.form_data.get("annotation_layers"))
        used.note_query(self)
        with running(scope, self.datasource, layers) as query, _attributes(self, force=False, _force_cached=cached):
            return _counted(query, lambda: stock(self, query_obj, **kwargs))

    return get_df_payload


def _counted(query: Query, run: Callable[[], Any]) -> Any:
    """Run a chart query; one that never asked the cache, because its timeout is -1, is a miss all the same."""
    started = time.perf_counter()
    payload = run()
    if not query.gets and payload.get("cache_key"):
        took = (time.perf_counter() - started) * 1000
        event = Outcome(Region.CHART_DATA, Miss.DISABLED, took, scope=query.scope)
        query.keep(payload["cache_key"], event)
    return payload


def _source(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df(self: Any, sql: str, catalog: str | None = None, schema: str | None = None, mutator: Any = None) -> Any:
        # Asked beforehand: afterwards its session may have ended, and an attribute would be a query of its own.
        database = self.id, self.sqlalchemy_uri
        started = time.perf_counter()
        try:
            rows = stock(self, sql, catalog, schema, mutator)
        except BaseException as error:
            _report(database, sql, started, None, type(error).__name__)
            raise
        _report(database, sql, started, rows, None)
        return rows

    return get_df


def _report(database: tuple[Any, Any], sql: str, started: float, rows: Any, error: str | None) -> None:
    """Say that a query has ended; a failure to say so never reaches the asker."""
    try:
        took, query = (time.perf_counter() - started) * 1000, current()
        scope = query.scope if query else own_scope()
        if scope.own:
            return
        engine = (database[1] or "").partition(":")[0].partition("+")[0]
        count = None if rows is None else len(rows)
        event = Queried("chart", database[0], engine, sql, took, time.monotonic(), scope, count, error)
        tell(queried, "chart", event)
    except Exception as problem:  # noqa: BLE001
        warn("queried", "a query is missing in query_performance_log (%s)", type(problem).__name__)


@contextmanager
def _attributes(target: Any, **values: Any) -> Iterator[None]:
    before = {name: getattr(target, name) for name in values}
    try:
        for name, value in values.items():
            setattr(target, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)


SEAMS: tuple[tuple[str, str, str, tuple[str, ...], Wrapper], ...] = (
    (
        "superset.common.query_context_processor",
        "QueryContextProcessor",
        "get_df_payload",
        ("self", "query_obj", "force_cached"),
        _query_context,
    ),
    ("superset.viz", "BaseViz", "get_df_payload", ("self", "query_obj", "kwargs"), _viz),
    (
        "superset.common.query_context_processor",
        "QueryContextProcessor",
        "query_cache_key",
        ("self", "query_obj", "kwargs"),
        annotation_keys,
    ),
    ("superset.connectors.sqla.models", "SqlaTable", "get_extra_cache_keys", ("self", "query_obj"), dataset_keys),
    ("superset.models.sql_lab", "Query", "get_extra_cache_keys", ("self", "query_obj"), dataset_keys),
    ("superset.models.core", "Database", "get_df", ("self", "sql", "catalog", "schema", "mutator"), _source),
)
