"""Who asks for which chart, and from where: the scope of a chart query, taken from Superset's own objects."""

from __future__ import annotations

from typing import Any

from flask import g, has_app_context, has_request_context, request

from superset_ext.cache.query import current
from superset_ext.cache.tags import object_tag
from superset_ext.events import WARM, Channel, Scope
from superset_ext.settings import OWN_DATABASE

# The endpoints that fetch what a worker has computed: the chart was counted when the worker read.
FETCHES = frozenset({"ChartDataRestApi.data_from_cache", "Superset.explore_json_data"})
_WARMING = "superset_ext_warming"  # names in Flask's `g`
_REFRESHING = "superset_ext_refreshing"


def mark_as_warming(refreshing: bool = False) -> None:
    """Give the current context the channel `warm`; with `refreshing` an answer in its grace will not do."""
    setattr(g, _WARMING, True)
    setattr(g, _REFRESHING, refreshing)


def is_warming() -> bool:
    """Whether the current context has the channel `warm`."""
    return has_app_context() and bool(g.get(_WARMING))


def is_fetch() -> bool:
    """Whether this request fetches what a worker has computed for it."""
    return has_request_context() and request.endpoint in FETCHES


def channel() -> Channel:
    """Where the asking comes from."""
    if is_warming():
        return WARM
    if not has_request_context():
        from celery import current_task

        return "celery" if current_task else "cli"
    from superset_ext.host.services import security_manager

    if security_manager.is_guest_user():
        return "embedded"
    # A report's browser opens the dashboard with `standalone=3` and its charts with `standalone=true`.
    page = request.referrer or ""
    return "report" if "standalone=3" in page or "standalone=true" in page else "web"


def own_scope() -> Scope:
    """The scope of code that runs outside any chart query."""
    return Scope(channel=channel(), user_id=_user_id())


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
        dataset_id=id_of(getattr(source, "id", None)) if is_table else None,
        database_id=id_of(getattr(source, "database_id", None)),
        schema=getattr(source, "schema", None),
        chart_id=id_of(slice_id),
        dashboard_id=id_of(data.get("dashboardId")) or _argument("dashboard_id") or parent.dashboard_id,
        user_id=_user_id(),
        forced=(forced or parent.forced) and not fetch,
        own=own,
        counted=not (fetch or own) and parent.counted and through != WARM,  # a hit ratio is of people's requests
        count_misses=not force_cached and parent.count_misses,
        refreshing=parent.refreshing or (has_app_context() and bool(g.get(_REFRESHING))),
    )


def shown_by(annotations: Any) -> set[str]:
    """Tags of the annotation layers of a chart: Superset's own layers, and charts."""
    layers = [layer for layer in annotations if isinstance(layer, dict)] if isinstance(annotations, list) else []
    numbers = [(layer.get("sourceType"), id_of(layer.get("value"))) for layer in layers]
    return {object_tag("layer" if kind == "NATIVE" else "chart", number) for kind, number in numbers if number}


def id_of(value: Any) -> int | None:
    """The id that a value of a request stands for, `None` where it is none."""
    try:
        return int(value) if value else None
    except (TypeError, ValueError, OverflowError):
        return None


def _argument(name: str) -> int | None:
    """An id from the URL: the old charts name their dashboard nowhere else."""
    return id_of(request.args.get(name)) if has_request_context() else None


def _user_id() -> int | None:
    from superset_ext.host.services import get_user_id

    return id_of(get_user_id())
