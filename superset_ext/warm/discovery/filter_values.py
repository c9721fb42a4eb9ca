"""What a native filter asks for its own values when a dashboard is opened, as Superset's browser does.

A list of values and a range ask; filters of time and of its grain ask nothing that is cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superset_ext.warm.discovery.merge import with_filters
from superset_ext.warm.discovery.native_filters import NativeFilter

ROW_LIMIT = 1000  # Superset's own, where NATIVE_FILTER_DEFAULT_ROW_LIMIT says nothing
_EMPTY: dict[str, Any] = {
    "filters": [], "extras": {"having": "", "where": ""}, "applied_time_extras": {}, "annotation_layers": [],
    "series_limit": 0, "group_others_when_limit_reached": False, "order_desc": True, "url_params": {},
    "custom_params": {}, "custom_form_data": {},
}  # fmt: skip


def values_body(one: NativeFilter, dashboard: int, extra: Mapping[str, Any], row_limit: int) -> dict[str, Any] | None:
    """The query context of a filter's values; `None` where it asks none.

    Args:
        extra: what the filters on which it depends add.
    """
    if one.dataset is None or one.column is None or one.kind not in ("filter_select", "filter_range"):
        return None
    own = one.configuration
    times = {key: own[name] for key, name in _TIMES.items() if own.get(name)}
    query = _EMPTY | times | _asked(one, one.column) | {"row_limit": row_limit}
    query = with_filters(with_filters(query, {"adhoc_filters": own.get("adhoc_filters") or []}), extra)
    return {
        "datasource": {"id": one.dataset, "type": "table"}, "force": False, "queries": [query],
        "form_data": _form_data(one, dashboard, extra, row_limit), "result_format": "json", "result_type": "full",
    }  # fmt: skip


_TIMES = {"time_range": "time_range", "granularity": "granularity_sqla"}


def _asked(one: NativeFilter, column: str) -> dict[str, Any]:
    if one.kind == "filter_range":
        return {"columns": [], "metrics": [_edge("MIN", 1, column), _edge("MAX", 2, column)]}
    metric = one.controls.get("sortMetric") or one.configuration.get("sortMetric")
    ascending = bool(one.controls.get("sortAscending", True))
    return {
        "columns": [column], "metrics": [metric] if metric else [], "orderby": [[metric or column, ascending]],
    }  # fmt: skip


def _edge(aggregate: str, number: int, column: str) -> dict[str, Any]:
    return {
        "aggregate": aggregate, "column": {"column_name": column, "id": number, "type_generic": 0},
        "expressionType": "SIMPLE", "hasCustomLabel": True, "label": aggregate.lower(),
    }  # fmt: skip


def _form_data(one: NativeFilter, dashboard: int, extra: Mapping[str, Any], row_limit: int) -> dict[str, Any]:
    return {
        **one.controls, "datasource": f"{one.dataset}__table", "groupby": [one.column],
        "adhoc_filters": one.configuration.get("adhoc_filters") or [], "extra_filters": [],
        "extra_form_data": dict(extra), "metrics": ["count"], "row_limit": row_limit, "showSearch": True,
        "url_params": {}, "inView": True, "viz_type": one.kind, "type": "NATIVE_FILTER", "dashboardId": dashboard,
        "native_filter_id": one.id, "force": False, "result_format": "json", "result_type": "full",
    }  # fmt: skip


def first_value(one: NativeFilter, value: Any) -> dict[str, Any]:
    """What a filter that starts with the first value of its data adds to charts."""
    operator = "NOT IN" if one.controls.get("inverseSelection") else "IN"
    return {"filters": [{"col": one.column, "op": operator, "val": [value]}]}
