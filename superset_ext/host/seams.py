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
fire no event of SQLAlchemy's. Within it, `execute` of the engine specs is wrapped to note the SQL as it is sent, which
`SQL_QUERY_MUTATOR` and somebody's own engine spec may have changed. Where `host.substitutes` has another text for a
statement, that one is sent. The macros that nest one dataset in another note which one that is. Where its engine is
made, one that was kept is taken (see `host.engines`). What the event logger is to log is noted while a request is
watched whose answer may be given again.

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
from superset_ext.cache.query import Query, current, note_opened, running
from superset_ext.cache.sent import Sent, note, sending
from superset_ext.core.signals import count_failure, tell
from superset_ext.core.warn_once import warn
from superset_ext.events import Miss, Outcome, Queried, Scope, queried
from superset_ext.host import documents, engines, granting, moment, nested, remembered, reserved, rights, substitutes
from superset_ext.host.release import SUPPORTED
from superset_ext.host.replicas import POSTGRESQL, seen_until_us
from superset_ext.host.scope import id_of, is_fetch, own_scope, scope_of, shown_by
from superset_ext.host.sharing import annotation_keys, dataset_keys
from superset_ext.host.sql import parsed
from superset_ext.settings import Region

logger = logging.getLogger(__name__)

_MARK = "_superset_ext_seam"

Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


def apply() -> list[str]:
    """Wrap what can be wrapped, once a process; returns what was left alone and why, a line each."""
    return [reason for seam in SEAMS if (reason := _apply(*seam))]


def _apply(module: str, owner: str, name: str, parameters: tuple[str, ...], wrapper: Wrapper) -> str | None:
    label = ".".join(part for part in (module, owner, name) if part)
    target = getattr(import_module(module), owner, None) if owner else import_module(module)
    static = inspect.getattr_static(target, name, None)
    function = getattr(static, "__func__", static)  # of a class method or a static one
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
    setattr(target, name, wrapped if static is function else type(static)(wrapped))
    return None


def _query_context(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df_payload(self: Any, query_obj: Any, force_cached: bool | None = False) -> Any:
        context = self._query_context
        scope = _scope(context, context.form_data, bool(context.force), bool(force_cached))
        shown = shown_by(getattr(query_obj, "annotation_layers", None))
        used.note_query(query_obj)
        with running(scope, context.datasource, shown) as query, _attributes(context, force=False):
            return _counted(query, lambda: stock(self, query_obj, bool(force_cached) and not is_fetch()))

    return get_df_payload


def _viz(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df_payload(self: Any, query_obj: Any = None, **kwargs: Any) -> Any:
        scope = _scope(self, self.form_data, bool(self.force), bool(self.force_cached))
        cached = bool(self.force_cached) and not is_fetch()
        shown = shown_by(self.form_data.get("annotation_layers"))
        used.note_query(self)
        with running(scope, self.datasource, shown) as query, _attributes(self, force=False, _force_cached=cached):
            return _counted(query, lambda: stock(self, query_obj, **kwargs))

    return get_df_payload


def _scope(holder: Any, form_data: Any, forced: bool, force_cached: bool) -> Scope:
    """The scope of a chart query; one that cannot be made out costs the answer its row in the log, nothing else."""
    try:
        return scope_of(holder, form_data, forced, force_cached)
    except Exception as error:  # noqa: BLE001  (somebody waits for the answer)
        count_failure("making out the scope of a query", error)
        return Scope(forced=forced, counted=False)


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
        sent = None
        try:
            with _noted(self, catalog, schema, sql) as sent:
                if substitutes.substitutes and sent is not None:
                    rows = _substituted(stock, self, sql, mutator, sent)
                else:
                    rows = stock(self, sql, catalog, schema, mutator)
        except BaseException as error:
            _report(database, sql, started, None, type(error).__name__, sent)
            raise
        _report(database, sql, started, rows, None, sent)
        return rows

    return get_df


def _substituted(stock: Callable[..., Any], database: Any, sql: str, mutator: Any, sent: Sent) -> Any:
    """The rows of a chart's statement, by another text where there is one (see `host.substitutes`)."""

    def ask(text: str) -> Any:
        return stock(database, text, sent.catalog, sent.schema, mutator)

    query = current()
    if query is None or query.scope.own:
        return ask(sql)
    try:
        posed = _posed(database, sql, sent, query)
    except Exception as error:  # noqa: BLE001  (an attribute may be a query of its own; somebody waits for the rows)
        count_failure("asking for another text of a statement", error)
        return ask(sql)
    return substitutes.answer(ask, posed, query, sent)


def _posed(database: Any, sql: str, sent: Sent, query: Query) -> substitutes.Posed:
    engine = str(database.sqlalchemy_uri or "").partition(":")[0]
    return substitutes.Posed(
        sql, database, database.id, str(database.database_name), engine, sent.catalog, sent.schema,
        query.scope.dataset_id, getattr(query.source, "name", None), query.scope.user_id,
    )  # fmt: skip


def _report(
    database: tuple[Any, Any], sql: str, started: float, rows: Any, error: str | None, sent: Sent | None
) -> None:
    """Say that a query has ended; a failure to say so never reaches the asker."""
    try:
        took, query = (time.perf_counter() - started) * 1000, current()
        scope = query.scope if query else own_scope()
        if scope.own:
            return
        engine = (database[1] or "").partition(":")[0].partition("+")[0]
        count = None if rows is None else len(rows)
        event = Queried("chart", database[0], engine, sql, took, time.monotonic(), scope, count, error)
        if sent is not None and sent.known:
            event.sent, event.schema, event.catalog = tuple(sent.statements), sent.schema, sent.catalog
        tell(queried, "chart", event)
    except Exception as problem:  # noqa: BLE001
        warn("queried", "a query is missing in query_performance_log (%s)", type(problem).__name__)


@contextmanager
def _noted(database: Any, catalog: str | None, schema: str | None, sql: str) -> Iterator[Sent | None]:
    """Keep with the chart query under way what is sent within this; `None` where there is none."""
    query = current()
    if query is None:
        yield None
        return
    sent = Sent(database, schema, catalog)
    with sending(sent):
        yield sent
    sent.known = _is_whole(sent, sql)
    if sent.statements or not sent.known:
        query.sent.append(sent)


def _is_whole(sent: Sent, sql: str) -> bool:
    """Whether all statements were noted. Somebody's own engine spec may send them past Superset's `execute`."""
    try:
        spec = sent.database.db_engine_spec
        if str(getattr(spec.execute, "__module__", "")).startswith("superset."):
            return True
        script = parsed(sql, spec.engine)
        return script is not None and len(script.statements) <= len(sent.statements)
    except Exception as error:  # noqa: BLE001  (an engine spec or a parser; somebody waits for the rows)
        count_failure("looking whether all SQL was noted", error)
        return False


def _execute(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def execute(cls: Any, cursor: Any, query: str, database: Any, **kwargs: Any) -> Any:
        sent = note(query)
        if sent is not None and sent.before is not None:
            before, sent.before = sent.before, None
            before(cursor)
        if sent is not None and cls.engine == POSTGRESQL and len(sent.statements) == 1:
            sent.seen_until_us = seen_until_us(cursor)
        return stock(cls, cursor, query, database, **kwargs)

    return execute


def _static_execute(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def execute(cursor: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        note(query)
        return stock(cursor, query, *args, **kwargs)

    return execute


def _note_dataset(dataset_id: Any) -> None:
    """Note a dataset that a macro names; without a number it is the chart's own."""
    number = id_of(dataset_id)
    if number is not None:
        note_opened("dataset", number)


def _dataset_macro(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def dataset_macro(
        dataset_id: int, include_metrics: bool = False, columns: Any = None, from_dttm: Any = None, to_dttm: Any = None
    ) -> Any:
        _note_dataset(dataset_id)
        return nested.macro(stock, dataset_id, include_metrics, columns, from_dttm, to_dttm)

    return dataset_macro


def _metric_macro(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def metric_macro(env: Any, context: Any, metric_key: str, dataset_id: int | None = None) -> Any:
        _note_dataset(dataset_id)
        return stock(env, context, metric_key, dataset_id)

    return metric_macro


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


_MANAGER = "superset.security.manager"
_FILTER = ("self", "query", "value")
_ACCESS = (
    "self", "dashboard", "chart", "database", "datasource", "query", "query_context", "table", "viz", "sql", "catalog",
    "schema", "template_params",
)  # fmt: skip

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
    ("superset.models.core", "", "create_engine", ("url", "kwargs"), engines.made),
    (
        "superset.db_engine_specs.base",
        "BaseEngineSpec",
        "execute",
        ("cls", "cursor", "query", "database", "kwargs"),
        _execute,
    ),
    (
        "superset.db_engine_specs.impala",
        "ImpalaEngineSpec",
        "execute",
        ("cls", "cursor", "query", "database", "kwargs"),
        _execute,
    ),
    (
        "superset.db_engine_specs.hive",
        "HiveEngineSpec",
        "execute",
        ("cursor", "query", "database", "async_"),
        _static_execute,
    ),
    (
        "superset.utils.log",
        "AbstractEventLogger",
        "log_with_context",
        ("self", "action", "duration", "object_ref", "log_to_statsd", "database", "payload_override"),
        granting.logged,
    ),
    (
        "superset.models.helpers",
        "AuditMixinNullable",
        "_format_time_humanized",
        ("self", "timestamp"),
        documents.clocked,
    ),
    (
        "superset.jinja_context",
        "",
        "dataset_macro",
        ("dataset_id", "include_metrics", "columns", "from_dttm", "to_dttm"),
        _dataset_macro,
    ),
    ("superset.jinja_context", "", "metric_macro", ("env", "context", "metric_key", "dataset_id"), _metric_macro),
    (_MANAGER, "SupersetSecurityManager", "can_access", ("self", "permission_name", "view_name"), moment.rights_once),
    (_MANAGER, "SupersetSecurityManager", "user_view_menu_names", ("self", "permission_name"), rights.names_once),
    (_MANAGER, "SupersetSecurityManager", "get_rls_filters", ("self", "table"), rights.rules_once),
    (
        "superset.utils.rls",
        "",
        "get_predicates_for_table",
        ("table", "database", "default_catalog"),
        rights.predicates_once,
    ),
    (
        "superset.daos.base",
        "BaseDAO",
        "find_by_id",
        ("cls", "model_id", "skip_base_filter", "id_column", "query_options"),
        moment.once,
    ),
    (
        "superset.daos.datasource",
        "DatasourceDAO",
        "get_datasource",
        ("cls", "datasource_type", "database_id_or_uuid"),
        moment.once,
    ),
    ("superset.models.core", "Database", "get_default_schema", ("self", "catalog"), remembered.default_schema),
    ("superset.sql.parse", "SQLStatement", "_parse", ("cls", "script", "engine"), remembered.parsed_once),
    (
        "superset.jinja_context",
        "BaseTemplateProcessor",
        "process_template",
        ("self", "sql", "kwargs"),
        remembered.compiled_once,
    ),
    (_MANAGER, "SupersetSecurityManager", "can_access_database", ("self", "database"), reserved.right),
    (_MANAGER, "SupersetSecurityManager", "can_access_catalog", ("self", "database", "catalog"), reserved.right),
    (_MANAGER, "SupersetSecurityManager", "can_access_schema", ("self", "datasource"), reserved.right),
    (_MANAGER, "SupersetSecurityManager", "raise_for_access", _ACCESS, reserved.access),
    ("superset.databases.filters", "DatabaseFilter", "apply", _FILTER, reserved.listed),
    ("superset.views.base", "DatasourceFilter", "apply", _FILTER, reserved.listed),
    ("superset.charts.filters", "ChartFilter", "apply", _FILTER, reserved.listed),
    ("superset.views.chart.filters", "SliceFilter", "apply", _FILTER, reserved.listed),
    ("superset.dashboards.filters", "", "get_dataset_access_filters", ("base_model", "args"), reserved.reached),
)
