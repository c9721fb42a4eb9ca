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
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

from superset_ext.host import (
    chart_queries,
    documents,
    engines,
    granting,
    moment,
    remembered,
    reserved,
    rights,
    source_queries,
)
from superset_ext.host.release import SUPPORTED
from superset_ext.host.sharing import annotation_keys, dataset_keys

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
        chart_queries.of_context,
    ),
    ("superset.viz", "BaseViz", "get_df_payload", ("self", "query_obj", "kwargs"), chart_queries.of_viz),
    (
        "superset.common.query_context_processor",
        "QueryContextProcessor",
        "query_cache_key",
        ("self", "query_obj", "kwargs"),
        annotation_keys,
    ),
    ("superset.connectors.sqla.models", "SqlaTable", "get_extra_cache_keys", ("self", "query_obj"), dataset_keys),
    ("superset.models.sql_lab", "Query", "get_extra_cache_keys", ("self", "query_obj"), dataset_keys),
    (
        "superset.models.core",
        "Database",
        "get_df",
        ("self", "sql", "catalog", "schema", "mutator"),
        source_queries.of_database,
    ),
    ("superset.models.core", "", "create_engine", ("url", "kwargs"), engines.made),
    (
        "superset.db_engine_specs.base",
        "BaseEngineSpec",
        "execute",
        ("cls", "cursor", "query", "database", "kwargs"),
        source_queries.of_spec,
    ),
    (
        "superset.db_engine_specs.impala",
        "ImpalaEngineSpec",
        "execute",
        ("cls", "cursor", "query", "database", "kwargs"),
        source_queries.of_spec,
    ),
    (
        "superset.db_engine_specs.hive",
        "HiveEngineSpec",
        "execute",
        ("cursor", "query", "database", "async_"),
        source_queries.of_static_spec,
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
        chart_queries.dataset_macro,
    ),
    (
        "superset.jinja_context",
        "",
        "metric_macro",
        ("env", "context", "metric_key", "dataset_id"),
        chart_queries.metric_macro,
    ),
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
