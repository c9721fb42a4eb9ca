"""What warming is for: a browser's first visit to dashboards that nobody has opened is all hits."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
import redis

from superset_ext.warm.discovery.saved import OLD_CHARTS
from testing import board
from testing.asked import answered, fingerprint
from testing.browser import Answer, Visit, browser
from testing.charts import Chart, database_id
from testing.programs import program
from testing.serving import Client
from testing.warming import cool, forget, rows, until, warm, warmed
from tests.browser.conftest import Passes

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SHARE = 0.98
# The last opening of a dashboard a hundred times more, as Superset has logged it.
OPENED_OFTEN = """
INSERT INTO public.logs (action, user_id, json, dttm, dashboard_id, slice_id, duration_ms, referrer)
SELECT action, user_id, json, dttm, dashboard_id, slice_id, duration_ms, referrer
FROM (
    SELECT * FROM public.logs WHERE dashboard_id = %s AND action = 'DashboardRestApi.get' ORDER BY id DESC LIMIT 1
) AS last, generate_series(1, 100)
RETURNING id
"""


@pytest.fixture
def visitor(superset_stack: Any) -> Iterator[Visit]:
    with browser() as chromium:
        visit = Visit(chromium.new_page(viewport={"width": 1400, "height": 1000}), superset_stack.url)
        visit.login(superset_stack.user, superset_stack.password)
        yield visit


def share(answers: list[Answer]) -> float:
    """The hits among the results that a query stands behind."""
    results = [result for answer in answers for result in answer.ran_sql]
    print(f"{sum(bool(r['is_cached']) for r in results)} hits of {len(results)}")
    return sum(bool(r["is_cached"]) for r in results) / len(results)


def missed(answers: list[Answer]) -> list[tuple[int, int | None]]:
    return [(a.dashboard_id, a.chart_id) for a in answers for r in a.ran_sql if not r["is_cached"]]


@pytest.mark.marathon
def test_all_nine_dashboards_are_hits_at_the_first_visit(superset_stack: Any, passes: Passes) -> None:
    """Intent: `perf warm --dashboards all` on a stack of which nothing is known warms what a browser has asked when it
    opened them. What it asked is sent again as it was: two tests below open dashboards in a browser after warming."""
    forget(superset_stack)
    done = warm(superset_stack, "--dashboards", "all", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    answers = [answered(client, asked) for asked in passes.first]
    assert len(answers) >= 100
    assert share(answers) >= SHARE, missed(answers)


@pytest.mark.thorough
def test_a_dashboard_with_native_filters_is_all_hits(superset_stack: Any, visitor: Visit) -> None:
    """Intent: filter defaults, a filter of one tab, a time range, Jinja, and no stored query context anywhere."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    number = board.install(client)
    try:
        warmed(client, dashboards=[number])
        answers = visitor.open(number)
        assert len(answers) >= 8
        assert share(answers) >= SHARE, missed(answers)
        _cross_filter_is_all_hits(superset_stack, client, visitor, number)
    finally:
        board.remove(client, number)


def _cross_filter_is_all_hits(stack: Any, client: Client, visitor: Visit, number: int) -> None:
    """Intent: what somebody has clicked once is warm for the next who clicks it, as common as it is."""
    known = "SELECT fingerprint FROM superset_ext.cache_request WHERE dashboard_id = %s AND uses > 0"
    clicked = _clicked(visitor)
    assert len(clicked) > 0
    until(lambda: {fingerprint(answer) for answer in clicked} <= {row[0] for row in rows(stack, known, (number,))})
    cool(stack)
    warmed(client, dashboards=[number])
    visitor.open(number)
    again = _clicked(visitor)
    assert share(again) >= SHARE, missed(again)


def _clicked(visitor: Visit) -> list[Answer]:
    """Click a line in the table, and look at both tabs: what the other charts ask then."""
    visitor.page.locator(".dashboard-component-tabs .ant-tabs-tab").first.click()
    visitor.settle()
    visitor.answers.clear()
    visitor.page.locator("td.dt-is-filter", has_text="Vintage Cars").first.click()
    visitor.settle()
    visitor.tabs()
    return visitor.answered(0)


SAVED = """
import sys
from superset.app import create_app
from superset_ext.host.people import Identity
from superset_ext.package import EXTENSION
from superset_ext.warm.discovery.discover import discover_saved
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.run.pages import pages
from superset_ext.warm.run.replay import replay

app = create_app()
package, numbers = app.extensions[EXTENSION], [int(number) for number in sys.argv[1:]]
with app.app_context():
    found = [discover_saved(app, package.log(), package.settings, page) for page in pages(numbers, ())]
problems = [line for lines in found for line in lines]
known = package.log().rows(
    "SELECT kind, path, args, body, is_form, user_id FROM superset_ext.cache_request"
    " JOIN superset_ext.cache_access_scope USING (fingerprint) WHERE dashboard_id = ANY(%s)", (numbers,))
for row in known:
    identity = Identity(row.pop("user_id"))
    problems += filter(None, [replay(app, ChartRequest(**row), identity).error])
sys.exit("; ".join(problems) or 0)
"""


@pytest.mark.thorough
def test_charts_saved_in_explore_are_all_hits_without_a_browser(superset_stack: Any, visitor: Visit) -> None:
    """Intent: what charts have saved, with the defaults of the dashboard's filters in a browser's order, is what a
    browser asks: conditions, a time range, a filter that starts with the first value of its data, the filters' own
    values, a chart with two queries, and charts of the old kind."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    boards = [board.install(client), *_with_old_charts(client)]
    try:
        for number in boards:
            _save_in_explore(client, visitor, number)
        forget(superset_stack)
        command = [program("python"), "-c", SAVED, *map(str, boards)]
        done = subprocess.run(command, env=superset_stack.env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        answers = [answer for number in boards for answer in visitor.open(number)]
        assert len(answers) >= 12 and any("explore_json" in answer.url for answer in answers)
        assert share(answers) == 1, missed(answers)
    finally:
        board.remove(client, boards[0])


def _with_old_charts(client: Client) -> list[int]:
    """Ids of the example dashboard that has some."""
    query = "(filters:!((col:dashboard_title,opr:eq,value:'Misc Charts')))"
    return [dashboard["id"] for dashboard in client.get(f"/api/v1/dashboard/?q={query}").json()["result"]]


def _save_in_explore(client: Client, visitor: Visit, dashboard: int) -> None:
    """Save each chart as Explore's button does: with all of its controls, and the query context that they make."""
    for chart in client.get(f"/api/v1/dashboard/{dashboard}/charts").json()["result"]:
        if chart["form_data"]["viz_type"] in OLD_CHARTS:
            continue
        with visitor.page.expect_response(partial(_is_of, chart["id"])) as asked:
            visitor.page.goto(f"{visitor.base}/explore/?slice_id={chart['id']}")
        context = json.loads(asked.value.request.post_data or "")
        body = {"params": json.dumps(chart["form_data"] | context["form_data"]), "query_context": json.dumps(context)}
        client.http.put(f"{client.base}/api/v1/chart/{chart['id']}", json=body).raise_for_status()


def _is_of(chart: int, answer: Any) -> bool:
    """Whether an answer is to what a chart asks; the page before may still get one when the next is opened."""
    if "/api/v1/chart/data" not in answer.url:
        return False
    return bool(json.loads(answer.request.post_data or "")["form_data"].get("slice_id") == chart)


@pytest.mark.marathon
def test_a_run_over_what_is_warm_has_nothing_to_do(superset_stack: Any) -> None:
    """Intent: what is cached is left alone, and a page is opened once a change, not once a run."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    warmed(client, dashboards=[1])
    again = warmed(client, dashboards=[1])
    assert (again["warmed"], again["already_fresh"] > 0) == (0, True), again


def test_a_dashboard_that_does_not_exist_is_named(superset_stack: Any) -> None:
    """Intent: a wrong id is no silent success."""
    done = warm(superset_stack, "--dashboards", "99999", "--wait")
    assert (done.returncode, "dashboard 99999 does not exist" in done.stderr) == (1, True), done.stdout + done.stderr


@pytest.mark.marathon
def test_the_popular_dashboard_is_the_one_that_people_open(superset_stack: Any) -> None:
    """Intent: popularity is Superset's own log of opened dashboards."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    dashboards = client.get("/api/v1/dashboard/?q=(page_size:100)").json()["result"]
    favourite = max(dashboard["id"] for dashboard in dashboards)
    client.get(f"/api/v1/dashboard/{favourite}").raise_for_status()
    until(lambda: rows(superset_stack, OPENED_OFTEN, (favourite,)))  # rows of the log wait for half a second
    cool(superset_stack)
    status = warmed(client, targets=["popular_dashboards"], limit=1)
    about = "SELECT DISTINCT dashboard_id FROM superset_ext.cache_warm_item WHERE run_id = %s"
    assert rows(superset_stack, about, (status["run_id"],)) == [(favourite,)]
    assert status["warmed"] + status["pages"] > 0  # what a page asks for itself is fresh when the run comes to it


def test_a_broken_chart_is_a_reason_and_fails_the_command(superset_stack: Any) -> None:
    """Intent: an error is an error, with the database's own words; the rest of the run goes on."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    mark = f"broken_{uuid.uuid4().hex[:8]}"
    body = {"database": database_id(client), "schema": "public", "table_name": mark, "sql": "SELECT 1 AS n"}
    dataset = int(client.post("/api/v1/dataset/", json=body).json()["id"])
    try:
        status = _broken(superset_stack, client, dataset)
    finally:
        client.http.delete(f"{client.base}/api/v1/dataset/{dataset}").raise_for_status()
    assert 'relation "no_such_table" does not exist' in status["failures"][0]["reason"]
    until(lambda: _celery_says_failed(superset_stack, status["run_id"]))


def _broken(stack: Any, client: Client, dataset: int) -> dict[str, Any]:
    """A run over a dataset whose table has gone since somebody asked for a chart of it."""
    request = Chart(dataset, "n", 7).body() | {"force": True}
    request["queries"][0] |= {"metrics": [], "orderby": []}
    assert client.post("/api/v1/chart/data", json=request).status_code == 200
    until(lambda: rows(stack, "SELECT 1 FROM superset_ext.cache_request WHERE dataset_id = %s", (dataset,)))
    body = {"sql": "SELECT n FROM no_such_table"}
    client.http.put(f"{client.base}/api/v1/dataset/{dataset}", json=body).raise_for_status()
    done = warm(stack, "--datasets", str(dataset), "--wait", "--json")
    assert done.returncode == 1
    status: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return status


def _celery_says_failed(stack: Any, run_id: str) -> bool:
    """Whether a task's result is a failure that names the run."""
    with closing(redis.Redis.from_url(f"{stack.redis_url}/0")) as broker:
        results = [json.loads(broker.get(key) or "{}") for key in broker.scan_iter("celery-task-meta-*")]
    return any(one.get("status") == "FAILURE" and run_id in str(one.get("result")) for one in results)
