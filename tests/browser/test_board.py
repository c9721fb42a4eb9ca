"""The board does in a browser what it is there for: requests that nobody can tell from the charts alone."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Response
from sqlalchemy import create_engine, text

from testing import board
from testing.browser import Visit, browser
from testing.serving import Client

pytestmark = [pytest.mark.browser, pytest.mark.thorough, pytest.mark.timeout(600)]

OVERVIEW = {"Lines", "Revenue", "Revenue by week", "Births"}
DETAIL = {"Deals", "Countries", "Orders", "Sales and orders"}
ERROR = ".ant-alert-error"

LINE = ("product_line", "IN", ("Classic Cars", "Vintage Cars"))
GENDER = ("gender", "IN", ("boy",))
COUNTRY = ("country", "IN", ("France", "USA"))
QUANTITY = {("quantity_ordered", ">=", 25), ("quantity_ordered", "<=", 45)}
CLICKED = "Vintage Cars"

Filter = tuple[str, str, Any]


@dataclass(frozen=True)
class Asked:
    """A chart's request, or one of a native filter for its values, and what came back."""

    chart: str | None
    status: int
    queries: tuple[dict[str, Any], ...]
    results: tuple[dict[str, Any], ...]

    @property
    def filters(self) -> list[set[Filter]]:
        """By query, the time columns' left out: they say "No filter", and the range stands beside them."""
        return [
            {(f["col"], f["op"], _hashable(f.get("val"))) for f in query["filters"] if f["op"] != "TEMPORAL_RANGE"}
            for query in self.queries
        ]


@dataclass(frozen=True)
class Seen:
    """What a person saw who opened the board, clicked a line in a table, and came again by another URL.

    Attributes:
        contexts: the charts' stored query contexts, after all that.
        errors: how many error messages the two tabs had.
        clicked: what the charts asked after the click, in both tabs.
    """

    contexts: tuple[str | None, ...]
    errors: int
    opened: tuple[Asked, ...]
    clicked: tuple[Asked, ...]
    by_url: tuple[Asked, ...]


@pytest.fixture(scope="module")
def seen(superset_stack: Any) -> Iterator[Seen]:
    """The board is gone afterwards: other tests count the dashboards."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    flag = '"ENABLE_TEMPLATE_PROCESSING": true'
    assert flag in html.unescape(client.get("/superset/welcome/").text), f"the stack runs without {flag}"
    dashboard_id = board.install(client)
    try:
        charts = client.get(f"/api/v1/dashboard/{dashboard_id}/charts").json()["result"]
        names = {c["id"]: c["slice_name"].removeprefix("Board: ") for c in charts}
        with browser() as chromium:
            visit = Visit(chromium.new_page(viewport={"width": 1400, "height": 1400}), superset_stack.url)
            visit.login(superset_stack.user, superset_stack.password)
            visit.open(dashboard_id)
            opened = _asked(visit.answers, names)
            errors = _errors(visit, "Detail") + _errors(visit, "Overview")
            visit.answers.clear()
            visit.page.locator("td.dt-is-filter", has_text=CLICKED).first.click()
            visit.settle()
            errors += _errors(visit, "Overview") + _errors(visit, "Detail")
            clicked = _asked(visit.answers, names)
            visit.open(dashboard_id, "?note=x")
            by_url = _asked(visit.answers, names)
        yield Seen(_contexts(superset_stack.database_url, list(names)), errors, opened, clicked, by_url)
    finally:
        board.remove(client, dashboard_id)


def test_no_chart_has_a_query_context(seen: Seen) -> None:
    """Intent: whoever warms these charts has to build their requests, also after a person has opened them."""
    assert seen.contexts == (None,) * len(OVERVIEW | DETAIL)


def test_all_charts_answer_and_render(seen: Seen) -> None:
    """Intent: both tabs work, and a chart asks once; a filter's default that came late would make it ask again."""
    assert {a.status for a in (*seen.opened, *seen.clicked, *seen.by_url)} == {200}
    assert sorted(a.chart for a in seen.opened if a.chart) == sorted(OVERVIEW | DETAIL)
    assert all(r["rowcount"] for a in seen.opened for r in a.results)
    assert seen.errors == 0


def test_the_requests_carry_the_filters_defaults(seen: Seen) -> None:
    """Intent: one by one: a default, the first value, a filter of one tab, a time range, and a range of numbers."""
    for asked in (a for a in seen.opened if a.chart):
        expected = {LINE, GENDER, *QUANTITY} | ({COUNTRY} if asked.chart in DETAIL else set())
        assert asked.filters == [expected] * len(asked.queries), asked.chart
        times = {query.get("time_range") for query in asked.queries}
        assert times == {None if asked.chart == "Deals" else "Last quarter"}, asked.chart


def test_some_charts_ask_two_queries(seen: Seen) -> None:
    """Intent: a summary, the rows of a table that pages on the server, and the second half of a mixed chart."""
    assert {a.chart for a in seen.opened if len(a.queries) == 2} == {"Lines", "Orders", "Sales and orders"}


def test_a_click_in_a_table_filters_the_other_charts(seen: Seen) -> None:
    """Intent: cross filters reach both tabs, save the chart that emits and the one outside their scope."""
    assert {a.chart for a in seen.clicked} == (OVERVIEW | DETAIL) - {"Lines", "Deals"}
    before = {a.chart: a.filters for a in seen.opened}
    for asked in seen.clicked:
        assert asked.filters == [f | {("product_line", "IN", (CLICKED,))} for f in before[asked.chart]]


def test_the_jinja_dataset_follows_the_filters_and_the_url(seen: Seen) -> None:
    """Intent: it is a template that runs, so that its SQL depends on who asks with what."""
    for visit, note in ((seen.opened, "none"), (seen.by_url, "x")):
        (births,) = (a for a in visit if a.chart == "Births")
        (result,) = births.results
        assert {(row["gender"], row["note"]) for row in result["data"]} == {("boy", note)}
        assert "WHERE gender IN ('boy')" in result["query"]
        assert result["query"].count("month >= TIMESTAMP '") == result["query"].count("month < TIMESTAMP '") == 1


def _errors(visit: Visit, tab: str) -> int:
    """Go to a tab, and count its error messages."""
    visit.page.get_by_role("tab", name=tab).click()
    visit.settle()
    return visit.page.locator(ERROR).count()


def _asked(answers: list[Response], names: dict[int, str]) -> tuple[Asked, ...]:
    requests = []
    for answer in answers:
        body = json.loads(answer.request.post_data or "{}")
        chart = names.get(body["form_data"].get("slice_id"))
        results = answer.json().get("result", ())
        requests.append(Asked(chart, answer.status, tuple(body["queries"]), tuple(results)))
    return tuple(requests)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _contexts(database_url: str, charts: list[int]) -> tuple[str | None, ...]:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT query_context FROM public.slices WHERE id = ANY(:ids)"), {"ids": charts})
        contexts = tuple(row[0] for row in rows)
    engine.dispose()
    return contexts
