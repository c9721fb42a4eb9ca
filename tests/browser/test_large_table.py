"""From a slow dashboard to the index that helps: what is advised, what a trial proves, what a dashboard then shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testing.asked import answered
from testing.browser import Answer, Visit, browser
from testing.large_table import TABLE, Large, large_table
from testing.serving import Client
from testing.stack import RunningStack
from testing.warming import perf, rows, until

pytestmark = [pytest.mark.browser, pytest.mark.marathon, pytest.mark.timeout(1800)]
LOGGED = """
SELECT count(*) FROM superset_ext.query_performance_log WHERE dataset_id = %s AND chart_id = ANY (%s) AND error IS NULL
"""
ASKED = 3  # times that each chart runs its query
DESK, PHONE = 1400, 390
COLUMNS = {"customer_id": "Total of a customer", "ordered_at": "Total of a week"}  # the chart that filters by each


@pytest.fixture(scope="module")
def large(superset_stack: RunningStack) -> Iterator[Large]:
    """The dashboard, opened once by a person, its charts asked anew by others; what was built for it is gone later."""
    with large_table(superset_stack) as made:
        asked = _opened(superset_stack, made)
        client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
        for one in asked * (ASKED - 1):
            answered(client, _forced(one))
        numbers = (made.dataset, list(made.charts.values()))
        until(lambda: rows(superset_stack, LOGGED, numbers)[0][0] >= ASKED * len(made.charts))
        yield made
        perf(superset_stack, "indexes", "drop", "--database", "examples", "--yes")


def _opened(stack: RunningStack, made: Large) -> list[Answer]:
    with browser() as chromium:
        visit = Visit(chromium.new_page(viewport={"width": DESK, "height": 900}), stack.url)
        visit.login(stack.user, stack.password)
        answers = visit.open(made.dashboard)
    assert sorted(answer.chart_id or 0 for answer in answers) == sorted(made.charts.values())
    assert {answer.status for answer in answers} == {200}
    return answers


def _forced(asked: Answer) -> Answer:
    return replace(asked, body=json.dumps(json.loads(asked.body or "{}") | {"force": True}))


def answer_of(stack: RunningStack, *words: str) -> Any:
    """What a command says as JSON."""
    done = perf(stack, *words, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_index_that_a_person_would_name(superset_stack: RunningStack, large: Large) -> None:
    """Intent: recommended are an index that leads to one customer and one that leads to a week, with the charts that
    gain; none for the chart that reads all rows."""
    items = [item for item in answer_of(superset_stack, "recommend", "--look") if item["kind"] == "proposed"]
    ours = [item["evidence"]["numbers"] for item in items if TABLE in item["name"]]
    gains = {column: one["charts"] for one in ours for column in COLUMNS if column in one["command"]}
    assert len(ours) == len(COLUMNS) == len(gains), ours
    for column, name in COLUMNS.items():
        assert large.charts[name] in gains[column] and large.charts["Total of all"] not in gains[column]


def test_a_trial_proves_it(superset_stack: RunningStack, large: Large) -> None:
    """Intent: both indexes are built and stand, since what they are for takes a small part of its time, and nothing
    takes longer; the statements are those that people have asked."""
    verdicts = answer_of(superset_stack, "indexes", "try", "--database", "examples", "--yes")
    kept = [one for one in verdicts if TABLE in one["create"] and one["kept"]]
    assert {column for one in kept for column in COLUMNS if column in one["create"]} == set(COLUMNS), verdicts
    for one in kept:
        (statement,) = one["statements"]
        assert statement["seconds_after"] < 0.5 * statement["seconds_before"] and not statement["slower"]
        print(f"{one['create']}: {statement['seconds_before']:.3f} s → {statement['seconds_after']:.4f} s")


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_dashboard_shows_it(superset_stack: RunningStack, large: Large, tmp_path: Path, width: int) -> None:
    """Intent: on *Query performance* the indexes stand with their state, on a desk and on a phone."""
    done = perf(superset_stack, "dashboards", "install")
    assert done.returncode == 0, done.stderr[-2000:]
    with browser() as chromium:
        visit = Visit(chromium.new_page(viewport={"width": width, "height": 900}), superset_stack.url)
        visit.login(superset_stack.user, superset_stack.password)
        visit.page.goto(f"{superset_stack.url}/superset/dashboard/query-performance/")
        chart = visit.page.locator("[data-test-chart-name='What would help']")
        chart.scroll_into_view_if_needed()
        visit.settle()
        chart.screenshot(path=tmp_path / f"{width}.png")
        text = chart.inner_text()
        box = chart.bounding_box()
    assert text.count(f'"public"."{TABLE}"') >= 2 and "applied" in text, text
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
