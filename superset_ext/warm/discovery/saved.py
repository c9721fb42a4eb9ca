"""What a page asks, as far as that can be known without a browser: from what its charts have saved.

A chart that was saved in Explore has a query context; with what the dashboard's filters add it is what a browser asks.
One that was only opened there has one too, in which the defaults of controls that it does not set may be missing; a
browser then asks something else. Charts of the old kind need none, since the server makes their queries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from superset_ext.warm.discovery.filter_values import first_value, values_body
from superset_ext.warm.discovery.merge import with_filters
from superset_ext.warm.discovery.native_filters import NativeFilter, extra_of, merged, native_filters
from superset_ext.warm.registry.requests import ChartRequest, loaded
from superset_ext.warm.run.pages import Page

# Whose data a browser of Superset 6.1 asks from /superset/explore_json/, whatever the chart has saved.
OLD_CHARTS = frozenset(
    {"bubble", "bullet", "cal_heatmap", "chord", "compare", "country_map", "deck_geojson", "horizon", "mapbox",
     "paired_ttest", "para", "partition", "rose", "time_pivot", "time_table", "world_map"}
)  # fmt: skip
# With an X axis that may be a time: Explore hides the time grain of another axis and does not save it, and a dashboard
# takes the control's default for what is not saved.
_AXIS_CHARTS = frozenset(
    {"echarts_area", "echarts_timeseries", "echarts_timeseries_bar", "echarts_timeseries_line",
     "echarts_timeseries_scatter", "echarts_timeseries_smooth", "echarts_timeseries_step", "mixed_timeseries"}
)  # fmt: skip
_GRAIN = "time_grain_sqla"
_COMPOSED = frozenset({"deck_multi"})  # asks for other charts, as its layers
_SAVE = "open each in Explore and save it"
Rows = Callable[[Mapping[str, Any]], list[Mapping[str, Any]]]


@dataclass(slots=True)
class Saved:
    """What was found.

    Attributes:
        requests: those that are known.
        unsaved: names of the charts without a saved query context.
        problems: a line for each other chart or filter whose requests are not known.
    """

    requests: list[ChartRequest] = field(default_factory=list)
    unsaved: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """All that is not known, a line each."""
        unsaved = [f"no saved query context: {', '.join(self.unsaved)}; {_SAVE}"] if self.unsaved else []
        return [*unsaved, *self.problems]


def saved_requests(page: Page, ask: Rows, row_limit: int) -> Saved:
    """The requests of a page.

    Args:
        ask: the rows of a query context's first query, as the page's executor.
        row_limit: of a filter's values.
    """
    result = Saved()
    filters = list(_filters(page, ask, row_limit, result)) if page.dashboard_id else []
    unknown = {chart for one in filters if one.from_data for chart in one.charts}
    for chart in _charts(page):
        if chart.id not in unknown:
            _add(chart, page, extra_of(chart.id, filters), result)
    return result


def _charts(page: Page) -> list[Any]:
    from superset_ext.host.models import Slice, db

    return list(db.session.query(Slice).filter(Slice.id.in_(sorted(page.charts))).order_by(Slice.id))


def _filters(page: Page, ask: Rows, row_limit: int, result: Saved) -> Iterator[NativeFilter]:
    """The filters of a dashboard; one that starts with the first value of its data has found that, if it could."""
    from superset_ext.host.models import Dashboard, db

    dashboard = db.session.get(Dashboard, page.id)
    known: dict[str, NativeFilter] = {}
    for one in native_filters(loaded(dashboard.json_metadata or ""), loaded(dashboard.position_json or "")):
        above = merged([known[parent].extra for parent in one.parents if parent in known])
        body = values_body(one, page.id, above, row_limit)
        if body is not None:
            result.requests.append(ChartRequest("data", "/api/v1/chart/data", "", json.dumps(body)))
        known[one.id] = _started(one, body, ask, result)
        yield known[one.id]


def _started(one: NativeFilter, body: Mapping[str, Any] | None, ask: Rows, result: Saved) -> NativeFilter:
    if not one.from_data or body is None:
        return one
    try:
        value = next(iter(ask(body)), {}).get(str(one.column))
    except Exception as error:  # noqa: BLE001  (whatever Superset or a driver raises is why the value is not known)
        result.problems.append(f"the filter {one.name!r} starts with its first value, which cannot be read: {error}")
        return one
    if not isinstance(value, str | int | float):
        result.problems.append(f"the filter {one.name!r} starts with its first value, which only a browser can write")
        return one
    controls = {**one.controls, "defaultToFirstItem": False}
    return replace(one, extra=first_value(one, value), configuration={**one.configuration, "controlValues": controls})


def _add(chart: Any, page: Page, extra: Mapping[str, Any], result: Saved) -> None:
    title = f"chart {chart.id} «{chart.slice_name}»"
    context = loaded(chart.query_context or "")
    if chart.viz_type in _COMPOSED:
        result.problems.append(f"{title} is made of other charts, whose requests only a browser shows")
    elif chart.viz_type in OLD_CHARTS:
        result.requests.append(_old(chart, page, extra))
    elif not isinstance(context.get("queries"), list):
        result.unsaved.append(title)
    else:
        result.requests.append(_new(chart, page, context, extra))


def _new(chart: Any, page: Page, context: Mapping[str, Any], extra: Mapping[str, Any]) -> ChartRequest:
    body = {
        "datasource": {"id": chart.datasource_id, "type": chart.datasource_type}, "force": False,
        "queries": [with_filters(query, {**_hidden_grain(query, chart), **extra}) for query in context["queries"]],
        "form_data": _form_data(chart, page, extra) | {"result_format": "json", "result_type": "full"},
        "result_format": "json", "result_type": "full",
    }  # fmt: skip
    return ChartRequest("data", "/api/v1/chart/data", _args(chart, page), json.dumps(body))


def _hidden_grain(query: Mapping[str, Any], chart: Any) -> dict[str, Any]:
    """The time grain that a dashboard adds to a query, as a filter would."""
    grain = loaded(chart.params or "").get(_GRAIN, "P1D")
    hidden = chart.viz_type in _AXIS_CHARTS and _GRAIN not in (query.get("extras") or {})
    return {_GRAIN: grain} if hidden and grain else {}


def _old(chart: Any, page: Page, extra: Mapping[str, Any]) -> ChartRequest:
    body = json.dumps(_form_data(chart, page, extra))
    return ChartRequest("explore", "/superset/explore_json/", _args(chart, page), body, is_form=True)


def _form_data(chart: Any, page: Page, extra: Mapping[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {
        **loaded(chart.params or ""), "datasource": f"{chart.datasource_id}__{chart.datasource_type}",
        "viz_type": chart.viz_type, "slice_id": chart.id, "url_params": {}, "force": False,
    }  # fmt: skip
    if page.dashboard_id is None:
        return own
    return own | {"extra_form_data": dict(extra), "extra_filters": [], "dashboardId": page.dashboard_id}


def _args(chart: Any, page: Page) -> str:
    form = json.dumps({"slice_id": chart.id}, separators=(",", ":"))
    return urlencode({"form_data": form} | ({"dashboard_id": page.dashboard_id} if page.dashboard_id else {}))
