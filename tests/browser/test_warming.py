"""What warming is for: a browser's first visit to dashboards that nobody has opened is all hits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import board
from tests.browser.driver import Answer, Visit, browser
from tests.serving import Client
from tests.warming import cool, forget, rows, until, warm

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SHARE = 0.98


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


def test_all_nine_dashboards_are_hits_at_the_first_visit(superset_stack: Any, visitor: Visit) -> None:
    """Intent: `perf warm --dashboards all` on a stack where nobody has opened anything warms what browsers ask."""
    forget(superset_stack)
    done = warm(superset_stack, "--dashboards", "all", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [answer for each in visitor.dashboards() for answer in visitor.open(each["id"])]
    assert len(answers) >= 100
    assert share(answers) >= SHARE, missed(answers)


def test_a_dashboard_with_native_filters_is_all_hits(superset_stack: Any, visitor: Visit) -> None:
    """Intent: filter defaults, a filter of one tab, a time range, Jinja, and no stored query context anywhere."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    number = board.install(client)
    try:
        done = warm(superset_stack, "--dashboards", str(number), "--wait")
        assert done.returncode == 0, done.stdout + done.stderr
        answers = visitor.open(number)
        assert len(answers) >= 8
        assert share(answers) >= SHARE, missed(answers)
        _cross_filter_is_all_hits(superset_stack, visitor, number)
    finally:
        board.remove(client, number)


def _cross_filter_is_all_hits(stack: Any, visitor: Visit, number: int) -> None:
    """Intent: what somebody has clicked once is warm for the next who clicks it, as common as it is."""
    known = "SELECT count(*) FROM superset_ext.cache_request WHERE dashboard_id = %s AND uses > 0"
    clicked = _clicked(visitor)
    assert len(clicked) > 0
    until(lambda: rows(stack, known, (number,))[0][0] >= len({answer.body for answer in clicked}) + 8)
    cool(stack)
    done = warm(stack, "--dashboards", str(number), "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
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


def test_a_run_over_what_is_warm_has_nothing_to_do(superset_stack: Any) -> None:
    """Intent: what is cached is left alone, and a page is opened once a change, not once a run."""
    first = warm(superset_stack, "--dashboards", "1", "--wait")
    assert first.returncode == 0, first.stdout + first.stderr
    again = warm(superset_stack, "--dashboards", "1", "--wait")
    assert " 0 warmed" in again.stdout, again.stdout


def test_a_dashboard_that_does_not_exist_is_named(superset_stack: Any) -> None:
    """Intent: a wrong id is no silent success."""
    done = warm(superset_stack, "--dashboards", "99999", "--wait")
    assert (done.returncode, "dashboard 99999 does not exist" in done.stderr) == (1, True), done.stdout + done.stderr
