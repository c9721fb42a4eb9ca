"""The built-in dashboards in a real browser: wide and on a phone, full and empty; their numbers beside the log's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.dashboards.bundle import assets
from superset_ext.monitor.rollup.views import refresh, view_of
from testing.browser import Answer, Visit, browser
from testing.programs import program
from testing.stack import clean_environment
from testing.warming import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
# In a process of its own: Superset's app is one a process.
INSTALL = """
from superset.app import create_app
app = create_app()
from superset_ext.package import EXTENSION
from superset_ext.monitor.dashboards.installation import install
from superset_ext.monitor.rollup.views import apply_views
package = app.extensions[EXTENSION]
package.database.apply_schema()
apply_views(package.database)
done = install(app, package.database, package.settings, restore=True)
with app.app_context():
    from superset.models.dashboard import Dashboard
    from superset.extensions import db
    ids = {slug: i for slug, i in db.session.query(Dashboard.slug, Dashboard.id).filter(Dashboard.slug.isnot(None))}
import json
print("SAID " + json.dumps(ids))
"""
BOARDS = {asset.config["slug"]: asset for asset in assets() if asset.kind == "dashboard"}
PHONE, DESK = 390, 1400
# All but one opening are among the long tests: each keeps a processor busy for ten seconds.
SEEN = [
    pytest.param(slug, marks=() if slug == "query-performance" else pytest.mark.thorough) for slug in sorted(BOARDS)
]
REST = sorted(set(BOARDS) - {"query-performance"})
RANGE = (
    "?native_filters=(NATIVE_FILTER-{board}-time:(__cache:(value:'{range}'),"
    "extraFormData:(time_range:'{range}'),filterState:(value:'{range}'),"
    "id:NATIVE_FILTER-{board}-time,ownState:()))"
)
# The days that the rollups have, again in each of the twelve months before.
YEAR = """
INSERT INTO superset_ext.{table}
SELECT (jsonb_populate_record(known, jsonb_build_object('day', known.day - 31 * n))).*
FROM superset_ext.{table} AS known CROSS JOIN generate_series(1, 12) AS n
"""
# The range that the time filter begins with; what the rollups have of it; and whose reads they count.
SHOWN = "created_at >= (superset_ext.utc_today() - 6)::timestamp AT TIME ZONE 'UTC'"
FOLDED = (
    f"{SHOWN} AND EXISTS (SELECT FROM superset_ext.rollup_state AS state"
    " WHERE state.log = '{log}' AND transaction_id < state.next_transaction"
    " AND NOT transaction_id = ANY (state.open_transactions))"
)
OF_PEOPLE = "cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm'"
LAID_OUT = """() => [...document.querySelectorAll('.dashboard-component-chart-holder')].map(holder => {
    const box = holder.getBoundingClientRect(), title = holder.querySelector('.header-title');
    return {name: title.innerText, left: box.left, right: box.right, width: box.width,
            cut: title.scrollWidth > title.clientWidth + 1, text: holder.innerText};
})"""


@pytest.fixture(scope="module")
def ids(superset_stack: Any) -> dict[str, int]:
    """The dashboards, installed, by slug."""
    done = subprocess.run(
        [program("python"), "-c", INSTALL],
        env=clean_environment() | superset_stack.env,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    return dict(json.loads(line.removeprefix("SAID ")))


@pytest.fixture(scope="module")
def people(superset_stack: Any) -> Iterator[BrowserContext]:
    """A browser whose user has logged in, and which keeps the files of pages that it has shown."""
    with browser() as chromium:
        context = chromium.new_context()
        first = Visit(context.new_page(), superset_stack.url)
        first.login(superset_stack.user, superset_stack.password)
        first.page.close()
        yield context


@pytest.fixture
def log(superset_stack: Any) -> Iterator[LogDatabase]:
    database = LogDatabase(superset_stack.database_url.partition("?")[0])
    yield database
    database.close()


def ranged(slug: str, time_range: str) -> str:
    """The query of a dashboard's URL that sets its time filter."""
    return RANGE.format(board=slug.partition("-")[0], range=time_range)


def visit(people: BrowserContext, stack: Any, width: int) -> Visit:
    page = people.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    return Visit(page, stack.url)


def holders(page: Page) -> list[dict[str, Any]]:
    return list(page.evaluate(LAID_OUT))


def charts_of(slug: str) -> list[str]:
    items = BOARDS[slug].config["position"].values()
    return sorted(item["meta"]["sliceName"] for item in items if isinstance(item, dict) and item["type"] == "CHART")


def assert_readable(seen: Visit, answers: list[Answer], slug: str, width: int) -> None:
    """No chart is in error, none is beyond the screen or too narrow to read, no title is cut off."""
    assert {answer.status for answer in answers} == {200}
    charts = holders(seen.page)
    assert sorted(chart["name"] for chart in charts) == charts_of(slug)
    assert seen.page.locator(".ant-alert-error").count() == 0
    least = 150 if width == PHONE else 300
    wrong = [e["name"] for e in charts if e["left"] < 0 or e["right"] > width or e["width"] < least or e["cut"]]
    assert wrong == []


@pytest.mark.parametrize("slug", SEEN)
def test_every_chart_is_there_and_readable(
    people: BrowserContext, superset_stack: Any, ids: dict[str, int], slug: str
) -> None:
    """Intent: all charts are there and can be read on a desk; on a phone, `test_with_a_year_of_it` looks."""
    seen = visit(people, superset_stack, DESK)
    assert_readable(seen, seen.open(ids[slug]), slug, DESK)
    seen.page.close()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "slug",
    ["query-performance", *(pytest.param(slug, marks=pytest.mark.marathon) for slug in REST)],
)
def test_without_data_they_say_so(people: BrowserContext, superset_stack: Any, ids: dict[str, int], slug: str) -> None:
    """Intent: on an empty log no chart breaks: each says that there is no data, or counts none. A range in which
    nothing was logged stands for that; what has no time range is what it is."""
    seen = visit(people, superset_stack, DESK)
    answers = seen.open(ids[slug], ranged(slug, "2001-01-01 : 2001-01-02"))
    assert {answer.status for answer in answers} == {200}
    assert seen.page.locator(".ant-alert-error").count() == 0
    timeless = {
        "Memory",
        "Numbers as of",
        "When the numbers were refreshed",
        "What sources need",
        "What would help",
        "Aggregates",
    }
    texts = {
        chart["name"]: _shown_text(seen.page, chart) for chart in holders(seen.page) if chart["name"] not in timeless
    }
    assert {name: text for name, text in texts.items() if text not in ("No data yet", "No data", "0")} == {}
    seen.page.close()


def _shown_text(page: Page, holder: dict[str, Any]) -> str:
    chart = page.locator(f"[data-test-chart-name='{holder['name']}']")
    empty = chart.locator(".ant-empty-description")
    if empty.count():
        # Superset's own words are still there, unseen.
        assert empty.evaluate("e => getComputedStyle(e).fontSize") == "0px"
        assert not chart.get_by_text("No results were returned").is_visible()
        return str(empty.evaluate("e => getComputedStyle(e, '::after').content")).strip('"')
    return chart.locator(".header-line").first.inner_text()


@pytest.mark.thorough
def test_the_numbers_are_the_logs(
    people: BrowserContext, superset_stack: Any, ids: dict[str, int], log: LogDatabase
) -> None:
    """Intent: after real traffic, what tiles, tables and the chart of hits and misses say is what the log says."""
    seen = visit(people, superset_stack, DESK)
    example = next(d for d in seen.dashboards() if d["id"] not in ids.values() or d["slug"] not in BOARDS)
    for _ in range(2):
        seen.open(example["id"])
    logged = "SELECT 1 AS n FROM superset_ext.cache_performance_log WHERE cache_hits > 0 AND dashboard_id = %s"
    until(lambda: log.rows(logged, (example["id"],)))
    assert [step.error for step in refresh(log, 1000) if step.error] == []
    with _unchanged(log):
        _numbers_are_the_logs(seen, ids, log)
    seen.page.close()


@contextmanager
def _unchanged(log: LogDatabase) -> Iterator[None]:
    """Nobody rolls up the logs within the block, and all views are of the same roll-up."""
    with log.transaction(600) as cursor:
        cursor.execute("SELECT FROM superset_ext.rollup_state FOR UPDATE")
        for made in log.rows("SELECT file FROM superset_ext.view_version WHERE materialized ORDER BY file"):
            with log.transaction(600) as other:
                other.execute("SELECT superset_ext.refresh_view(%s)", (view_of(Path(made["file"])),))
        yield


def _numbers_are_the_logs(seen: Visit, ids: dict[str, int], log: LogDatabase) -> None:
    (raw,) = log.rows(
        "SELECT COALESCE(sum(cache_hits), 0)::int AS hits, COALESCE(sum(cache_misses), 0)::int AS misses,"
        f" sum(saved_ms) AS saved FROM superset_ext.cache_performance_log WHERE {OF_PEOPLE} AND"
        f" {FOLDED.format(log='cache')}"
    )
    assert raw["hits"] > 0
    answers = seen.open(ids["cache-performance"])
    ratio = _value(answers, "hit_ratio", columns=1)
    assert ratio == pytest.approx(raw["hits"] / (raw["hits"] + raw["misses"]))
    assert _value(answers, "saved", columns=1) == pytest.approx(raw["saved"])
    by_cache = next(a.results[0]["data"] for a in answers if "hits, chart_data" in a.results[0]["colnames"])
    counted = [sum(row[f"{kind}, chart_data"] or 0 for row in by_cache) for kind in ("hits", "misses")]
    assert counted == [raw["hits"], raw["misses"]]
    for keys in (("dashboard",), ("chart", "dashboard"), ("dataset",)):
        _costs_are_the_logs(log, answers, keys)
    _queries_are_the_logs(log, seen.open(ids["query-performance"]))
    _changes_are_the_logs(log, seen.open(ids["warming-and-freshness"]))


def _costs_are_the_logs(log: LogDatabase, answers: list[Answer], keys: tuple[str, ...]) -> None:
    """What cost most is told by day, and today is in a range that ends now."""
    labels = ", ".join(
        f"superset_ext.object_label('{key}', COALESCE({key}_id, 0), {key}.name) AS {key}" for key in keys
    )
    names = " ".join(
        f"LEFT JOIN superset_ext.object_name AS {key} ON {key}.kind = '{key}' AND {key}.id = {key}_id" for key in keys
    )
    rows = log.rows(
        f"SELECT {labels}, sum(cache_hits)::int AS hits, sum(cache_hits + cache_misses)::int AS requests FROM"
        f" superset_ext.cache_performance_log {names} WHERE {OF_PEOPLE} AND {FOLDED.format(log='cache')}"
        f" GROUP BY {', '.join(keys)}"
    )
    raw = {tuple(row[key] for key in keys): row for row in rows}
    table = _table(answers, keys)
    assert len(table) == min(10, len(raw))
    for row in table:
        of = raw[tuple(row[key] for key in keys)]
        assert (row["requests"], row["hit_ratio"]) == (of["requests"], pytest.approx(of["hits"] / of["requests"]))


def _table(answers: list[Answer], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of the table by these and no other names."""
    others = {"dashboard", "chart", "dataset"} - set(keys)
    return next(
        r["data"] for a in answers for r in a.results
        if {*keys, "requests", "spent"} <= set(r["colnames"]) and not others & set(r["colnames"])
    )  # fmt: skip


def _queries_are_the_logs(log: LogDatabase, answers: list[Answer]) -> None:
    (raw,) = log.rows(
        "SELECT count(*)::int AS runs, avg(duration_ms) AS mean, sum(duration_ms) AS total,"
        f" avg((error IS NOT NULL)::int)::float8 AS errors FROM superset_ext.query_performance_log"
        f" WHERE {FOLDED.format(log='query')}"
    )
    counted = next(r["data"] for a in answers for r in a.results if "runs" in r["colnames"] and len(r["colnames"]) == 2)
    assert sum(row["runs"] for row in counted) == raw["runs"] > 0
    assert _value(answers, "mean", columns=1) == pytest.approx(raw["mean"])
    assert _value(answers, "total", columns=1) == pytest.approx(raw["total"])
    assert _value(answers, "error_share", columns=1) == pytest.approx(raw["errors"])
    tables = [r["data"] for a in answers for r in a.results if "sql" in r["colnames"]]
    assert tables and all(tables)


def _changes_are_the_logs(log: LogDatabase, answers: list[Answer]) -> None:
    asked = (
        f"SELECT count(*)::int AS n FROM superset_ext.{{table}} WHERE {SHOWN}"
        " AND created_at <= (SELECT refreshed_at FROM superset_ext.view_refresh WHERE view = '{view}')"
    )
    (raw,) = log.rows(asked.format(table="cache_invalidation_log", view="perf_invalidation") + " AND NOT precaution")
    assert _value(answers, "changes", columns=1) == raw["n"] > 0
    (raw,) = log.rows(asked.format(table="cache_warm_run", view="perf_warming"))
    assert _value(answers, "runs", columns=1) == raw["n"]


def _value(answers: list[Answer], metric: str, columns: int) -> float:
    """The one number of a tile: the answer that has this metric and as many columns."""
    results = [r for a in answers for r in a.results if metric in r["colnames"] and len(r["colnames"]) == columns]
    return float(results[0]["data"][0][metric])


@pytest.fixture
def a_year(log: LogDatabase) -> Iterator[None]:
    """Rollups of thirteen months, and views of them."""
    tables = ("cache_daily", "query_daily")

    def change(*statements: str) -> None:
        with log.transaction(120) as cursor:
            for statement in (*statements, "UPDATE superset_ext.view_refresh SET past_version = NULL"):
                cursor.execute(statement)
        assert [step.error for step in refresh(log, 1000) if step.error] == []

    change(*(YEAR.format(table=table) for table in tables))
    yield
    change(*(f"DELETE FROM superset_ext.{table} WHERE day < superset_ext.utc_today() - 25" for table in tables))


@pytest.mark.thorough
@pytest.mark.parametrize("slug", sorted(BOARDS))
def test_with_a_year_of_it(
    people: BrowserContext, superset_stack: Any, ids: dict[str, int], log: LogDatabase, a_year: None, slug: str
) -> None:
    """Intent: thirteen months of rollups are shown as whole as a week, by a filter on all of them, on a phone too."""
    seen = visit(people, superset_stack, PHONE)
    answers = seen.open(ids[slug], ranged(slug, "Last year"))
    assert_readable(seen, answers, slug, PHONE)
    if slug == "cache-performance":
        (known,) = log.rows(
            "SELECT sum(hits + misses)::int AS n FROM superset_ext.perf_cache_day WHERE cache_type = 'chart_data'"
        )
        by_cache = next(a.results[0]["data"] for a in answers if "hits, chart_data" in a.results[0]["colnames"])
        shown = sum(row[f"{kind}, chart_data"] or 0 for row in by_cache for kind in ("hits", "misses"))
        assert 0 < shown <= known["n"]
    seen.page.close()
