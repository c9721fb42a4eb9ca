"""What the built-in dashboards say to people, as far as their files show it."""

from __future__ import annotations

import re

import pytest

from superset_ext.monitor.dashboards.bundle import Asset, assets

CHARTS = [asset for asset in assets() if asset.kind == "chart"]
DATASETS = {asset.uuid: asset for asset in assets() if asset.kind == "dataset"}


def ids(asset: Asset) -> str:
    return asset.name


def measures(chart: Asset) -> list[str]:
    params = chart.config["params"]
    return list(params.get("metrics") or [params.get("metric")])


TIMED = [
    chart
    for chart in CHARTS
    if chart.config["params"]["viz_type"] != "table" and {"hit_p95", "miss_p95", "p95"} & {*measures(chart)}
]


@pytest.mark.parametrize("chart", CHARTS, ids=ids)
def test_no_chart_shows_names_of_the_schema(chart: Asset) -> None:
    """Intent: viewers read what numbers are of, and no names of views and tables."""
    params = chart.config["params"]
    shown = [chart.name, chart.config["description"] or "", params.get("subtitle", ""), params.get("y_axis_title", "")]
    assert not re.search(r"perf_|superset_ext", " ".join(shown))
    assert "view" not in (params.get("groupby") or [])


@pytest.mark.parametrize("chart", CHARTS, ids=ids)
def test_times_name_their_zone(chart: Asset) -> None:
    """Intent: whoever reads a time knows that it is UTC."""
    params = chart.config["params"]
    if "time_grain_sqla" in params and "echarts" in params["viz_type"]:
        assert params["x_axis_title"] == "UTC"
        assert params["x_axis_title_margin"] > 0
    columns = {column["column_name"]: column for column in DATASETS[chart.parent or ""].config["columns"]}
    for name in params.get("all_columns") or ():
        assert not columns[name]["is_dttm"] or "(UTC)" in columns[name]["verbose_name"]


@pytest.mark.parametrize("chart", TIMED, ids=ids)
def test_durations_have_units(chart: Asset) -> None:
    """Intent: a tile or an axis of durations says in what unit; a bare number says nothing. The format of the metric
    comes before that of the chart."""
    assert chart.config["params"]["y_axis_format"] == "DURATION"
    metrics = {metric["metric_name"]: metric for metric in DATASETS[chart.parent or ""].config["metrics"]}
    assert {metrics[name]["d3format"] for name in measures(chart)} == {"DURATION"}


@pytest.mark.parametrize("chart", [chart for chart in CHARTS if "timeseries" in str(chart.config["params"])], ids=ids)
def test_no_axis_repeats_a_number(chart: Asset) -> None:
    """Intent: an axis up to 1 or 2 is divided by fractions, which whole numbers would show as 0, 0, 1, 1."""
    assert chart.config["params"].get("y_axis_format") not in (",d", "d")


@pytest.mark.parametrize("chart", [chart for chart in CHARTS if "that cost most" in chart.name], ids=ids)
def test_rows_lead_somewhere_and_begin_with_what_decides(chart: Asset) -> None:
    """Intent: a row leads to its dashboard, chart or dataset; what the rows are ordered by is seen on a phone too."""
    params = chart.config["params"]
    assert "link" in params["groupby"]
    assert params["metrics"][0] == params["timeseries_limit_metric"]


def test_cache_performance_begins_with_what_to_do() -> None:
    """Intent: a person sees first what to set, and what that would bring."""
    (board,) = [asset for asset in assets() if asset.config.get("slug") == "cache-performance"]
    position = board.config["position"]
    first = position[position["GRID_ID"]["children"][0]]["children"]
    assert position[first[0]]["meta"]["sliceName"] == "What to do next"
    (chart,) = [chart for chart in CHARTS if chart.name == "What to do next"]
    assert chart.config["params"]["all_columns"] == ["setting", "brings", "finding"]


@pytest.mark.parametrize("name", ["Slowest queries", "Why queries are slow", "What would help"])
def test_charts_lead_to_their_plans(name: str) -> None:
    """Intent: wherever a slow query is named, a click on its chart shows the plan; a name that is HTML stays text."""
    (chart,) = [chart for chart in CHARTS if chart.name == name]
    params = chart.config["params"]
    columns = {item["column_name"]: item["expression"] or "" for item in DATASETS[chart.parent or ""].config["columns"]}
    shown = [columns[column] for column in [*params["all_columns"], *params["groupby"]]]
    (link,) = [expression for expression in shown if "performance/plans/" in expression]
    assert "'<', '&lt;'" in link and "'&', '&amp;'" in link
