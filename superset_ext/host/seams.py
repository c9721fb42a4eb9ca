"""The functions of Superset that are wrapped, and nothing else.

Superset has no hook that says which chart a cache read is for. `get_df_payload`, of
`QueryContextProcessor` and of the old `BaseViz`, is the one place that web, Celery, reports,
embedded pages and warm-up all pass, so each is wrapped to

- open a frame with the **scope** of the query (see `cache.scope`),
- clear `force` while it runs: stock never reads the cache then, and a forced read could be
  neither counted nor, later, coalesced; the region answers a forced frame with a miss,
- answer the last read of an asynchronous chart from the database when its entry has gone since
  the worker wrote it; stock answers 422.

`Database.get_df`, through which every chart's query goes to its source, is wrapped to tell what that took: raw cursors
fire no event of SQLAlchemy's.

Each seam is applied only where Superset's version and the function's parameters are the ones it
was written for; otherwise it steps aside with one warning, and the caches work without scopes.
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

from flask import g, has_app_context, has_request_context, request

from superset_ext.cache.query import CHANNEL, REFRESHING, WARM, Channel, Frame, Scope, current, framed
from superset_ext.core.warn_once import warn
from superset_ext.events import Miss, Outcome, Queried, queried
from superset_ext.host.sharing import annotation_keys, dataset_keys
from superset_ext.settings import OWN_DATABASE, Region

logger = logging.getLogger(__name__)

SUPPORTED = ("6.1.",)
# The endpoints that fetch what a worker has computed: the chart was counted when the worker read.
FETCHES = frozenset({"ChartDataRestApi.data_from_cache", "Superset.explore_json_data"})
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
    running = version("apache-superset")
    if not running.startswith(SUPPORTED):
        return f"{label} is untested with Superset {running}"
    found = tuple(inspect.signature(function).parameters)
    if found != parameters:
        return f"{label} takes {found}, not {parameters}"
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
        with framed(scope, context.datasource, layers) as frame, _attributes(context, force=False):
            return _counted(frame, lambda: stock(self, query_obj, bool(force_cached) and not is_fetch()))

    return get_df_payload


def _viz(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df_payload(self: Any, query_obj: Any = None, **kwargs: Any) -> Any:
        scope = scope_of(self, self.form_data, bool(self.force), bool(self.force_cached))
        cached = bool(self.force_cached) and not is_fetch()
        layers = layers_of(self.form_data.get("annotation_layers"))
        with framed(scope, self.datasource, layers) as frame, _attributes(self, force=False, _force_cached=cached):
            return _counted(frame, lambda: stock(self, query_obj, **kwargs))

    return get_df_payload


def _counted(frame: Frame, run: Callable[[], Any]) -> Any:
    """Run a chart query; one that never asked the cache, because its timeout is -1, is a miss all the same."""
    started = time.perf_counter()
    payload = run()
    if not frame.told and payload.get("cache_key"):
        took = (time.perf_counter() - started) * 1000
        event = Outcome(Region.CHART_DATA, Miss.DISABLED, took, scope=frame.scope)
        frame.tell(payload["cache_key"], event)
    return payload


def _source(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df(self: Any, sql: str, catalog: str | None = None, schema: str | None = None, mutator: Any = None) -> Any:
        # Asked beforehand: afterwards its session may have ended, and an attribute would be a query of its own.
        database = self.id, self.sqlalchemy_uri
        started = time.perf_counter()
        try:
            found = stock(self, sql, catalog, schema, mutator)
        except BaseException as error:
            _tell_query(database, sql, started, None, type(error).__name__)
            raise
        _tell_query(database, sql, started, found, None)
        return found

    return get_df


def _tell_query(database: tuple[Any, Any], sql: str, started: float, found: Any, error: str | None) -> None:
    """Say that a query has ended; whatever goes wrong in saying so is not the asker's."""
    try:
        took, frame = (time.perf_counter() - started) * 1000, current()
        scope = frame.scope if frame else Scope(channel=channel(), user_id=_user_id())
        if scope.own:
            return
        engine = (database[1] or "").partition(":")[0].partition("+")[0]
        rows = None if found is None else len(found)
        event = Queried("chart", database[0], engine, sql, took, time.monotonic(), scope, rows, error)
        queried.send("chart", event=event)
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


def is_fetch() -> bool:
    """Whether this request fetches what a worker has computed for it."""
    return has_request_context() and request.endpoint in FETCHES


def scope_of(holder: Any, form_data: Any, forced: bool, force_cached: bool) -> Scope:
    """The scope of a query context or a viz; a nested query (an annotation's chart) inherits what it lacks."""
    outer = current()
    parent = outer.scope if outer else Scope()
    data = form_data if isinstance(form_data, dict) else {}
    source = getattr(holder, "datasource", None)
    is_table = getattr(source, "type", None) == "table"
    slice_id = data.get("slice_id") or getattr(getattr(holder, "slice_", None), "id", None)
    fetch, through = is_fetch(), channel()
    own = parent.own or str(getattr(getattr(source, "database", None), "uuid", "")) == OWN_DATABASE
    return Scope(
        channel=through,
        dataset_id=_id(getattr(source, "id", None)) if is_table else None,
        database_id=_id(getattr(source, "database_id", None)),
        schema=getattr(source, "schema", None),
        chart_id=_id(slice_id),
        dashboard_id=_id(data.get("dashboardId")) or _argument("dashboard_id") or parent.dashboard_id,
        user_id=_user_id(),
        forced=(forced or parent.forced) and not fetch,
        own=own,
        counted=not (fetch or own) and parent.counted and through != WARM,  # a hit ratio is of people's requests
        count_misses=not force_cached and parent.count_misses,
        refreshing=parent.refreshing or (has_app_context() and bool(g.get(REFRESHING))),
    )


def layers_of(annotations: Any) -> list[int]:
    """Ids of Superset's own annotation layers among those of a chart; the others are charts, and ask for themselves."""
    found = annotations if isinstance(annotations, list) else []
    native = [each for each in found if isinstance(each, dict) and each.get("sourceType") == "NATIVE"]
    return [number for each in native if (number := _id(each.get("value"))) is not None]


def channel() -> Channel:
    """Where the asking comes from."""
    if has_app_context() and g.get(CHANNEL):
        return g.get(CHANNEL)  # type: ignore[no-any-return]
    if not has_request_context():
        from celery import current_task

        return "celery" if current_task else "cli"
    from superset.extensions import security_manager

    if security_manager.is_guest_user():
        return "embedded"
    # A report's browser opens the dashboard with `standalone=3` and its charts with `standalone=true`.
    page = request.referrer or ""
    return "report" if "standalone=3" in page or "standalone=true" in page else "web"


def _id(value: Any) -> int | None:
    try:
        return int(value) if value else None
    except (TypeError, ValueError, OverflowError):
        return None


def _argument(name: str) -> int | None:
    """An id from the URL: the old charts name their dashboard nowhere else."""
    return _id(request.args.get(name)) if has_request_context() else None


def _user_id() -> int | None:
    from superset.utils.core import get_user_id

    return _id(get_user_id())


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
