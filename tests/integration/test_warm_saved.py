"""Without a browser: what a page asks, from what its charts have saved. A browser's own test is
`test_charts_saved_in_explore_are_all_hits_without_a_browser`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.settings import Targets
from superset_ext.warm.discovery import discover
from superset_ext.warm.discovery.merge import with_filters
from superset_ext.warm.discovery.native_filters import extra_of, native_filters
from superset_ext.warm.discovery.saved import _new
from superset_ext.warm.discovery.walk import Visit
from superset_ext.warm.run import runs
from superset_ext.warm.work import work
from testing.in_process import ADMIN, InProcess

OWN = {"col": "own", "op": "==", "val": 1}
ADDED = {"col": "added", "op": "IN", "val": ["a"]}
AXIS = {"columnType": "BASE_AXIS", "sqlExpression": "day", "label": "day", "timeGrain": "P1D"}


def adhoc(sql: str = "", clause: str = "WHERE", **more: Any) -> dict[str, Any]:
    return {"expressionType": "SQL" if sql else "SIMPLE", "clause": clause, "sqlExpression": sql} | more


@pytest.mark.parametrize(
    ("extra", "changed"),
    [
        ({}, {}),
        ({"filters": [ADDED]}, {"filters": [ADDED, OWN]}),
        ({"adhoc_filters": [adhoc(subject="added", operator="IN", comparator=["a"])]}, {"filters": [OWN, ADDED]}),
        ({"adhoc_filters": [adhoc(clause="HAVING", subject="n", operator=">", comparator=1)]}, {}),
        ({"adhoc_filters": [adhoc("a = 1")]}, {"extras": {"having": "", "where": "(x) AND (a = 1)"}}),
        ({"adhoc_filters": [adhoc("a --b")]}, {"extras": {"having": "", "where": "(x) AND (a --b\n)"}}),
        ({"adhoc_filters": [adhoc("n > 1", "HAVING")]}, {"extras": {"having": "(n > 1)", "where": "(x)"}}),
        ({"time_range": "Last week"}, {"time_range": "Last week"}),
        ({"granularity_sqla": "day"}, {"granularity": "day"}),
        (
            {"time_grain_sqla": "P1M"},
            {
                "extras": {"having": "", "where": "(x)", "time_grain_sqla": "P1M"},
                "columns": ["name", {**AXIS, "timeGrain": "P1M"}],
            },
        ),
    ],
)
def test_a_query_with_what_filters_add(extra: dict[str, Any], changed: dict[str, Any]) -> None:
    """Intent: lists come in a browser's order, since the cache key depends on it."""
    query = {"filters": [OWN], "extras": {"having": "", "where": "(x)"}, "columns": ["name", AXIS], "time_range": "all"}
    assert with_filters(query, extra) == query | changed


def test_a_filter_applies_to_what_its_scope_holds() -> None:
    """Intent: a filter of a tab leaves the other tab's charts alone, and what is excluded; dividers are no filters."""
    position = {
        "ROOT_ID": {"type": "ROOT", "children": ["TAB-1", "TAB-2"]},
        "TAB-1": {"type": "TAB", "children": ["CHART-a", "CHART-b"]},
        "TAB-2": {"type": "TAB", "children": ["CHART-c"]},
        "CHART-a": {"type": "CHART", "meta": {"chartId": 1}},
        "CHART-b": {"type": "CHART", "meta": {"chartId": 2}},
        "CHART-c": {"type": "CHART", "meta": {"chartId": 3}},
        "DASHBOARD_VERSION_KEY": "v2",
    }

    def one(roots: list[str], excluded: list[int], extra: dict[str, Any]) -> dict[str, Any]:
        scope = {"rootPath": roots, "excluded": excluded}
        return {"type": "NATIVE_FILTER", "scope": scope, "defaultDataMask": {"extraFormData": extra}}

    metadata = {
        "native_filter_configuration": [
            one(["ROOT_ID"], [2], {"filters": [ADDED]}),
            {"type": "DIVIDER"},
            one(["TAB-1"], [], {"time_range": "Last week", "filters": [OWN]}),
        ]
    }
    filters = native_filters(metadata, position)
    assert extra_of(1, filters) == {"filters": [ADDED, OWN], "time_range": "Last week"}
    assert extra_of(2, filters) == {"filters": [OWN], "time_range": "Last week"}
    assert extra_of(3, filters) == {"filters": [ADDED]}


@pytest.mark.parametrize(
    ("viz_type", "params", "extras", "extra", "grain"),
    [
        ("echarts_timeseries_bar", {}, {}, {}, "P1D"), ("mixed_timeseries", {}, {}, {}, "P1D"),
        ("echarts_timeseries_bar", {}, {}, {"time_grain_sqla": "P1M"}, "P1M"),
        ("echarts_timeseries_bar", {"time_grain_sqla": None}, {}, {}, None),
        ("echarts_timeseries_bar", {"time_grain_sqla": "P1W"}, {}, {}, "P1W"),
        ("echarts_timeseries_bar", {}, {"time_grain_sqla": "P1Y"}, {}, "P1Y"), ("table", {}, {}, {}, None),
    ],
)  # fmt: skip
def test_a_grain_that_explore_has_hidden_is_the_default_on_a_dashboard(
    viz_type: str, params: dict[str, Any], extras: dict[str, Any], extra: dict[str, Any], grain: str | None
) -> None:
    """Intent: of an X axis that is no time, Explore saves no grain, and a dashboard asks with the control's default."""
    chart = SimpleNamespace(
        id=1, viz_type=viz_type, params=json.dumps(params), datasource_id=1, datasource_type="table"
    )
    page = SimpleNamespace(dashboard_id=1)
    query = {"columns": [{"columnType": "BASE_AXIS", "sqlExpression": "country"}], "extras": extras}
    request = json.loads(_new(chart, page, {"queries": [query]}, extra).body)["queries"][0]  # type: ignore[arg-type]
    assert request["extras"].get("time_grain_sqla") == grain
    if not extras:
        assert request["columns"][0].get("timeGrain") == grain


@pytest.fixture
def page(superset_app: InProcess) -> Iterator[int]:
    """A dashboard of two charts, of which one has saved a query context, with a filter's default."""
    superset_app.rows(
        "CREATE TABLE IF NOT EXISTS public.of_saved AS SELECT n, n % 2 AS odd FROM generate_series(1, 9) n"
    )
    with superset_app.app.app_context():
        number, made = _dashboard(superset_app.url)
        yield number
        _remove(made)


def _dashboard(url: str) -> tuple[int, list[Any]]:
    from superset.connectors.sqla.models import SqlaTable, TableColumn
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    source = Database(database_name="of saved charts")
    source.set_sqlalchemy_uri(url)
    table = SqlaTable(table_name="of_saved", schema="public", database=source)
    table.columns = [TableColumn(column_name="n", type="INT"), TableColumn(column_name="odd", type="INT")]
    db.session.add(table)
    db.session.flush()
    query = {"columns": ["n"], "metrics": [], "filters": [], "extras": {"having": "", "where": ""}, "row_limit": 100}
    common = {"datasource_id": table.id, "datasource_type": "table", "viz_type": "table", "params": "{}"}
    charts = [
        Slice(slice_name="saved", query_context=json.dumps({"queries": [query]}), **common),
        Slice(slice_name="never saved", **common),
    ]
    db.session.add_all(charts)
    db.session.flush()
    dashboard = Dashboard(dashboard_title="of saved charts", slices=charts, **_layout(table.id, charts))
    db.session.add(dashboard)
    db.session.commit()
    return dashboard.id, [dashboard, *charts, table, source]


def _layout(dataset: int, charts: list[Any]) -> dict[str, str]:
    parts = {f"CHART-{one.id}": {"type": "CHART", "meta": {"chartId": one.id}} for one in charts}
    first = {
        "id": "NATIVE_FILTER-odd", "type": "NATIVE_FILTER", "name": "Odd", "filterType": "filter_select",
        "targets": [{"datasetId": dataset, "column": {"name": "odd"}}], "scope": {"rootPath": ["ROOT_ID"]},
        "controlValues": {"defaultToFirstItem": True, "sortAscending": False},
        "defaultDataMask": {"extraFormData": {}},
    }  # fmt: skip
    return {
        "position_json": json.dumps({"ROOT_ID": {"type": "ROOT", "children": [*parts]}, **parts}),
        "json_metadata": json.dumps({"native_filter_configuration": [first]}),
    }


def _remove(made: list[Any]) -> None:
    from superset.extensions import db

    for one in made:
        db.session.delete(db.session.merge(one))
        db.session.flush()
    db.session.commit()


def test_without_a_browser_what_is_saved_is_warmed_and_the_rest_is_named(superset_app: InProcess, page: int) -> None:
    """Intent: one chart's answer with the first value of the filter's data, and the filter's own values, are there; the
    chart that has saved nothing is named with what to do, and so is the browser that is missing."""
    package = superset_app.package
    settings = package.settings.model_copy(update={"warm_browser": "/no/such/browser", "warm_executor": ADMIN})
    run, _ = runs.create(package.log(), Targets(dashboards=(page,)), "a test")
    with pytest.raises(Exception, match="1 of 3 items"):
        while work(superset_app.app, package.log(), settings, run) is not None:
            pass
    status = runs.status(package.log(), run)
    (failure,) = status["failures"]
    assert "no saved query context: chart" in failure["reason"] and "«never saved»" in failure["reason"]
    assert (
        "open each in Explore and save it" in failure["reason"] and "install --with-deps chromium" in failure["reason"]
    )
    assert (status["warmed"], status["already_fresh"]) == (1, 1)  # the filter was asked for its first value
    bodies = package.log().rows("SELECT body FROM superset_ext.cache_request WHERE dashboard_id = %s", (page,))
    asked = [json.loads(row["body"])["queries"][0]["filters"] for row in bodies]
    assert sorted(asked, key=len) == [[], [{"col": "odd", "op": "IN", "val": [1]}]]


def test_where_no_superset_answers_the_browser_what_is_saved_is_warmed(
    superset_app: InProcess, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: workers that were not told the URL of their Superset name the setting, and go on as without a browser.
    What Chromium says is held by `test_a_server_that_is_not_there_is_told`."""
    refused = Visit(problems=("opening the page failed: net::ERR_CONNECTION_REFUSED at http://0.0.0.0:8080/x/1/",))
    monkeypatch.setattr(discover, "visit", lambda *_, **__: refused)
    package = superset_app.package
    settings = package.settings.model_copy(update={"warm_executor": ADMIN, "warm_base_url": "http://0.0.0.0:8080/x"})
    run, _ = runs.create(package.log(), Targets(dashboards=(page,)), "a test")
    with pytest.raises(Exception, match="1 of 3 items"):
        while work(superset_app.app, package.log(), settings, run) is not None:
            pass
    (failure,) = runs.status(package.log(), run)["failures"]
    assert (
        "no Superset answers at http://0.0.0.0:8080 (net::ERR_CONNECTION_REFUSED); set SUPERSET_EXT_WARM_BASE_URL"
        in (failure["reason"])
    )
