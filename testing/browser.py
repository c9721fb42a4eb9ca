"""A browser that opens dashboards as a person does, and keeps what it asked for and was told."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

from superset_ext.settings import OWN_DASHBOARDS

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
CHART_PATHS = ("/api/v1/chart/data", "/superset/explore_json/")
# What says that something is loading. A person's browser leaves out charts that are more than a screen away.
BUSY = """() => [...document.querySelectorAll("[data-test='loading-indicator'], .loading, .ant-spin-spinning")]
    .some(sign => {
        const place = (sign.closest(".grid-row") ?? sign).getBoundingClientRect();
        return navigator.webdriver || (place.top < 2 * innerHeight && place.bottom > -innerHeight);
    })"""
PATIENCE = 180.0
LOGINS = 6  # times that the form of the login page is sent
# By the page's own clock, and until it has shown a frame: one that stalls does not rest.
MOMENT = "() => new Promise(done => setTimeout(() => requestAnimationFrame(() => setTimeout(done)), 250))"


@dataclass(frozen=True)
class Answer:
    """One chart request and what came back."""

    dashboard_id: int
    chart_id: int | None
    method: str
    url: str
    body: str | None
    content_type: str
    status: int
    text: str
    results: tuple[dict[str, Any], ...]

    @property
    def ran_sql(self) -> tuple[dict[str, Any], ...]:
        """The results that a query stands behind; a time-grain filter's answer has none."""
        return tuple(r for r in self.results if r.get("cache_key") and r.get("query"))


@dataclass
class Visit:
    """A page, the chart answers that it has had, and what it still waits for from its server."""

    page: Page
    base: str
    answers: list[Response] = field(default_factory=list)
    pending: set[Request] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("request", lambda r: self.pending.add(r) if r.url.startswith(self.base) else None)
        self.page.on("requestfailed", lambda r: self.pending.discard(r))
        self.page.on("response", lambda r: self.answers.append(r) if is_chart(r.url) else None)
        self.page.on("requestfinished", lambda r: self.pending.discard(r))

    def login(self, user: str, password: str) -> None:
        """Log in.

        An answer to the login page that comes after the one to its form brings the cookie from before, and nobody is
        logged in. So the page comes to rest first, and the form is sent again where Superset knows nobody.
        """
        for _ in range(LOGINS):
            self.page.goto(f"{self.base}/login/")
            self.settle()
            self.page.fill("input[type=text], #username", user)
            self.page.fill("input[type=password]", password)
            with self.page.expect_navigation():
                self.page.press("input[type=password]", "Enter")
            self.settle()
            if self.page.request.get(f"{self.base}/api/v1/me/").ok:
                return
        raise AssertionError(f"{user} cannot log in at {self.base}")

    def dashboards(self) -> list[dict[str, Any]]:
        """All but the package's own."""
        query = "(page_size:100,order_column:dashboard_title,order_direction:asc)"
        dashboards = self.page.request.get(f"{self.base}/api/v1/dashboard/?q={query}").json()["result"]
        return [dashboard for dashboard in dashboards if dashboard["slug"] not in OWN_DASHBOARDS]

    def open(self, dashboard_id: int, query: str = "") -> list[Answer]:
        """Open a dashboard, go through all its tabs, and return the answers to its charts."""
        self.page.goto("about:blank")
        self.answers.clear()
        self.pending.clear()  # how the requests of a page end that was left may never be told
        self.page.goto(f"{self.base}/superset/dashboard/{dashboard_id}/{query}")
        self.page.wait_for_selector("[data-test='dashboard-content'], .dashboard-content, .grid-container")
        self.settle()
        self.tabs()
        return self.answered(dashboard_id)

    def answered(self, dashboard_id: int) -> list[Answer]:
        """What has been answered since the page was opened, or since `answers` was cleared."""
        return [_answer(dashboard_id, response) for response in self.answers]

    def tabs(self) -> None:
        """Click through all tabs."""
        self._tabs(set())

    def _tabs(self, seen: set[str]) -> None:
        """Click every tab that was not yet clicked, those that come to light on the way included."""
        tabs = self.page.locator(".dashboard-component-tabs .ant-tabs-tab")
        for index in range(tabs.count()):
            tab = tabs.nth(index)
            key = tab.get_attribute("data-node-key") or tab.inner_text()
            if key in seen or not tab.is_visible():
                continue
            seen.add(key)
            tab.click()
            self.settle()
            return self._tabs(seen)
        return None

    def settle(self) -> None:
        """Wait until no request is under way and nothing says it is loading, three times in a row."""
        deadline, quiet = time.monotonic() + PATIENCE, 0
        while quiet < 3:
            if time.monotonic() > deadline:
                waits = sorted(request.url for request in self.pending)
                raise TimeoutError(f"{self.page.url} is still loading after {PATIENCE:.0f} s: {waits}")
            self.page.evaluate(MOMENT)
            busy = bool(self.pending) or self.page.evaluate(BUSY)
            quiet = 0 if busy else quiet + 1


def is_chart(url: str) -> bool:
    return urlsplit(url).path.startswith(CHART_PATHS)


def _answer(dashboard_id: int, response: Response) -> Answer:
    request = response.request
    body = request.post_data
    return Answer(
        dashboard_id,
        _chart_id(request.url, body),
        request.method,
        request.url,
        body,
        request.headers.get("content-type", ""),
        response.status,
        response.text(),
        results_of(_json(response)),
    )


def results_of(payload: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The results in the JSON of an answer, of whichever of the two kinds of charts."""
    results = payload.get("result") if "result" in payload else [payload] if "data" in payload else []
    return tuple(result for result in results or [] if isinstance(result, dict))


def _json(response: Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _chart_id(url: str, body: str | None) -> int | None:
    """From the query context's form data, or from the URL of an old chart, whose body is a form."""
    in_url = parse_qs(urlsplit(url).query).get("form_data")
    try:
        form = json.loads(in_url[0]) if in_url else json.loads(body or "").get("form_data", {})
    except ValueError:
        return None
    number = form.get("slice_id")
    return None if number is None else int(number)


def chromium() -> str | None:
    """The system's Chromium, if there is one."""
    return next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)


@contextmanager
def browser(draws_maps: bool = False, person: bool = False) -> Iterator[Browser]:
    """A headless Chromium of the system.

    Args:
        person: whether pages take it for a person's. Superset draws all charts of a dashboard at once where the browser
            says that a program drives it, as that of a report must; for a person it draws those a screen away at most.
        draws_maps: whether maps are drawn. Without a graphics card that takes half a minute of processor time for each
            opening of a dashboard of maps; it asks for the same without.
    """
    flags = [
        *FLAGS,
        *([] if draws_maps else ["--disable-3d-apis"]),
        *(["--disable-blink-features=AutomationControlled"] if person else []),
    ]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=flags, headless=True)
        try:
            yield launched
        finally:
            launched.close()
