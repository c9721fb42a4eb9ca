"""Opens a page of Superset in a headless Chromium and tells every chart request that the page makes.

Only a browser knows what a page asks: which charts it has, what its filters' defaults add to them, and
in what order each list of a query comes. So every tab is clicked and every chart scrolled to.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from superset_ext.errors import SupersetExtError
from superset_ext.warm.requests import kind_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright, Request, Response

VIEWPORT = {"width": 1400, "height": 2000}
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--disable-dev-shm-usage", "--disable-background-networking")
QUIET = 0.5  # seconds without a chart request after which a page that is not loading has asked what it will
_TICK = 50  # milliseconds between two looks at a page
_INSTALL = "install one with `playwright install chromium`, or set SUPERSET_EXT_WARM_BROWSER to a chromium executable"
_READY = "[data-test='dashboard-content'], .grid-container, .dashboard-grid, [data-test='chart-container']"

# Each answers with an object, since `wait_for_function` waits for what is true.
_SPINS = """() => ({count: [...document.querySelectorAll(".loading, [data-test='loading-indicator']")].filter(e => {
    const box = e.getBoundingClientRect();  // a chart that waits to be scrolled to may show one for ever
    return box.height > 0 && box.bottom > 0 && box.top < innerHeight;
}).length})"""
_SHOWS = """ready => /\\/login\\/?$/.test(location.pathname) ? {login: true}
    : document.querySelector(ready) ? {login: false} : null"""
# The deepest first: what a tab holds is done before another one takes its place.
_NEXT_TAB = """opened => {
    const bars = ".dashboard-component-tabs";
    const depth = e => e ? 1 + depth(e.parentElement.closest(bars)) : 0;
    const tabs = [...document.querySelectorAll(`${bars} .ant-tabs-tab`)]
        .map(e => ({e, key: e.dataset.nodeKey || e.innerText, name: e.innerText.trim(), depth: depth(e.closest(bars))}))
        .filter(tab => tab.e.getClientRects().length && !opened.includes(tab.key))
        .sort((one, other) => other.depth - one.depth);
    if (!tabs.length) return {key: null, name: ""};
    tabs[0].e.click();
    return {key: tabs[0].key, name: tabs[0].name};
}"""
_NEXT_CHART = """last => {
    const charts = [...document.querySelectorAll(".dashboard-component-chart-holder")]
        .filter(e => e.getClientRects().length);
    const next = charts.findIndex((e, index) => {
        const box = e.getBoundingClientRect();
        return index > last && (index === 0 || box.top < -1 || box.bottom > innerHeight + 1);
    });
    if (next >= 0) charts[next].scrollIntoView({block: "start", behavior: "instant"});
    return {index: next};
}"""


class BrowserMissing(SupersetExtError):
    """There is no browser on this machine, or nothing that drives one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A chart request that a page made.

    Attributes:
        path: without query string, such as `/api/v1/chart/data`.
        query: the raw query string; empty where it has none.
        body: as sent.
        content_type: as sent.
        status: of the answer; `None` where none came.
    """

    path: str
    query: str
    body: bytes
    content_type: str
    status: int | None


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page asked for.

    Attributes:
        requests: in the order in which they were made.
        tabs: how many were opened.
        problems: what could not be seen, a line each.
    """

    requests: tuple[Seen, ...]
    tabs: int
    problems: tuple[str, ...]


def visit(
    url: str, cookies: Mapping[str, str], *, headers: Mapping[str, str], executable: str | None, seconds: float
) -> Visit:
    """Open a dashboard or a chart's page, all its tabs, and look at each of its charts.

    Args:
        cookies: the session; set for the URL's own host.
        headers: for chart requests to the URL's own origin, and for no other request.
        executable: a Chromium; where `None`, Playwright's own or one on the path.
        seconds: that all this may take.

    Raises:
        BrowserMissing: Playwright or a Chromium is not installed, or does not start.
    """
    api = _playwright()
    deadline = time.monotonic() + seconds
    with api.sync_playwright() as playwright, _launched(playwright, executable, deadline) as browser:
        page = _page(browser, url, cookies)
        walk = _Walk(page, url, deadline, _Fence(page, url, headers))
        try:
            walk.all()
        except api.Error as error:
            walk.stopped(error)
        return walk.visit()


def _playwright() -> Any:
    try:
        from playwright import sync_api
    except ImportError:
        raise BrowserMissing(f"Playwright is not installed; run `pip install playwright`, then {_INSTALL}") from None
    return sync_api


@contextmanager
def _launched(playwright: Playwright, executable: str | None, deadline: float) -> Iterator[Browser]:
    browser = _launch(playwright, executable, deadline)
    try:
        yield browser
    finally:
        browser.close()


def _launch(playwright: Playwright, executable: str | None, deadline: float) -> Browser:
    """The one that is named; else Playwright's own; else one on the path."""
    found = [executable] if executable else [None, *filter(None, map(shutil.which, NAMES))]
    sandbox = os.geteuid() != 0  # root's Chromium has none; without it, Playwright adds `--no-sandbox`
    timeout = max(1.0, deadline - time.monotonic()) * 1000
    reasons = []
    for path in found:
        try:
            return playwright.chromium.launch(
                executable_path=path, args=FLAGS, chromium_sandbox=sandbox, timeout=timeout, headless=True
            )
        except _playwright().Error as error:
            reasons.append(_why(error))
    raise BrowserMissing(f"no Chromium starts ({reasons[-1]}); {_INSTALL}")


def _why(error: Exception) -> str:
    """Why a Chromium did not start; what it says of its sandbox comes far down in its output."""
    if "No usable sandbox" in str(error):
        return "its sandbox needs user namespaces, which this machine or container does not allow"
    return _line(error)


def _page(browser: Browser, url: str, cookies: Mapping[str, str]) -> Page:
    context = browser.new_context(viewport=VIEWPORT, service_workers="block")  # type: ignore[arg-type]
    context.add_cookies([{"name": name, "value": value, "url": _origin(url) + "/"} for name, value in cookies.items()])
    return context.new_page()


class _Fence:
    """Lets requests out to one origin only, and puts the headers on those for charts.

    By Chromium's own protocol and not by `page.route`, which does not see where a redirect leads
    and sends added headers along.
    """

    def __init__(self, page: Page, url: str, headers: Mapping[str, str]) -> None:
        self.shut: set[str] = set()  # other origins without which a page may not show
        self._origin, self._headers = _origin(url), dict(headers)
        self._chromium = page.context.new_cdp_session(page)
        self._chromium.on("Fetch.requestPaused", self._decide)
        self._chromium.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})

    def _decide(self, paused: dict[str, Any]) -> None:
        request, origin = paused["request"], _origin(paused["request"]["url"])
        if origin == self._origin and _is_chart(request["method"], request["url"]):
            sent = request["headers"] | self._headers
            self._send("continueRequest", paused, headers=[{"name": k, "value": v} for k, v in sent.items()])
        elif origin == self._origin or not origin.startswith("http"):
            self._send("continueRequest", paused)
        else:
            self._send("failRequest", paused, errorReason="BlockedByClient")
            self._note(paused["resourceType"], origin)

    def _note(self, kind: str, origin: str) -> None:
        if kind in ("Document", "Script"):
            self.shut.add(origin)

    def _send(self, answer: str, paused: dict[str, Any], **more: Any) -> None:
        with suppress(_playwright().Error):  # the page has gone on, or away
            self._chromium.send(f"Fetch.{answer}", {"requestId": paused["requestId"], **more})


class _Traffic:
    """The chart requests of a page, and which of them are still open."""

    def __init__(self, page: Page) -> None:
        self.made: list[Request] = []
        self.open: dict[Request, None] = {}
        self.failed: dict[Request, str] = {}
        self._status: dict[Request, int] = {}
        self._changed = time.monotonic()
        page.on("request", self._begin)
        page.on("response", self._answer)
        page.on("requestfinished", self._end)
        page.on("requestfailed", self._fail)

    @property
    def quiet(self) -> bool:
        return not self.open and time.monotonic() - self._changed >= QUIET

    def wake(self) -> None:
        """Something was done that may make the page ask."""
        self._changed = time.monotonic()

    def seen(self) -> tuple[Seen, ...]:
        return tuple(self._seen(request) for request in self.made)

    def _seen(self, request: Request) -> Seen:
        parts = urlsplit(request.url)
        body = request.post_data_buffer or b""
        return Seen(parts.path, parts.query, body, request.headers.get("content-type", ""), self._status.get(request))

    def _begin(self, request: Request) -> None:
        if _is_chart(request.method, request.url):
            self.made.append(request)
            self.open[request] = None
            self.wake()

    def _answer(self, response: Response) -> None:
        if response.request in self.open:
            self._status[response.request] = response.status

    def _end(self, request: Request) -> None:
        if request in self.open:
            del self.open[request]
            self.wake()

    def _fail(self, request: Request) -> None:
        if request in self.open:
            self.failed[request] = request.failure or "no reason given"
            self._end(request)


class _Walk:
    """The way through a page, and what went wrong on it."""

    def __init__(self, page: Page, url: str, deadline: float, fence: _Fence) -> None:
        self._page, self._url, self._deadline, self._fence = page, url, deadline, fence
        self._traffic = _Traffic(page)
        self._tabs: list[str] = []
        self._problems: list[str] = []
        self._where, self._awaits = "opening the page", "its first answer"

    def all(self) -> None:
        """Open the page, then each tab, and look at every chart."""
        if not self._open():
            return
        self._look()
        while self._next_tab():
            self._look()

    def stopped(self, error: Exception) -> None:
        """Note why the way ended early."""
        problem = f"{self._where} failed: {_line(error)}"
        if isinstance(error, _playwright().TimeoutError):
            pending = ", ".join(map(_label, self._traffic.open)) or self._awaits
            problem = f"time ran out {self._where}; pending: {pending}"
        self._problems.append(problem + self._shut())

    def _shut(self) -> str:
        """The other origins that the page wanted before it showed, of which one may be why it does not."""
        wanted = ", ".join(sorted(self._fence.shut))
        return f" (nothing is let through to other origins; the page wanted {wanted})" if wanted else ""

    def visit(self) -> Visit:
        # A page that asks a chart's data anew lets go of the request before; that is no fault.
        lost = {r: why for r, why in self._traffic.failed.items() if "ERR_ABORTED" not in why}
        unanswered = [f"{_label(request)} got no answer: {why}" for request, why in lost.items()]
        return Visit(self._traffic.seen(), len(self._tabs), (*self._problems, *unanswered))

    def _open(self) -> bool:
        answer = self._page.goto(self._url, wait_until="commit", timeout=self._left())
        if answer and answer.status >= 400:
            self._problems.append(f"the page did not load: it was answered with status {answer.status}")
            return False
        self._awaits = "its charts to show"
        if self._ask(_SHOWS, _READY)["login"]:
            self._problems.append("the page shows the login: its session is not valid, or its user may not see it")
            return False
        return True

    def _next_tab(self) -> bool:
        self._awaits = "its tabs"
        tab = self._ask(_NEXT_TAB, self._tabs)
        if tab["key"] is None:
            return False
        self._tabs.append(tab["key"])
        self._where = f"in the tab «{tab['name']}»"
        return True

    def _look(self) -> None:
        """Scroll to one chart after the other that is not in view."""
        self._settle()
        last = -1
        while (last := self._ask(_NEXT_CHART, last)["index"]) >= 0:
            self._settle()

    def _settle(self) -> None:
        """Wait until nothing loads and no chart request was made for a while."""
        self._awaits = "a chart that shows that it loads"
        self._traffic.wake()
        while not self._traffic.quiet:
            self._page.wait_for_timeout(min(_TICK, self._left()))
            if self._ask(_SPINS)["count"]:
                self._traffic.wake()

    def _ask(self, script: str, argument: Any = None) -> dict[str, Any]:
        """What a script answers in the page; unlike `evaluate`, this ends in time where the page hangs."""
        handle = self._page.wait_for_function(script, arg=argument, timeout=self._left(), polling=_TICK)
        return dict(handle.json_value())

    def _left(self) -> float:
        """Milliseconds until the deadline."""
        left = (self._deadline - time.monotonic()) * 1000
        if left <= 0:
            raise _playwright().TimeoutError("no time is left")
        return left


def _is_chart(method: str, url: str) -> bool:
    return method in ("GET", "POST") and kind_of(urlsplit(url).path) is not None


def _origin(url: str) -> str:
    """Scheme, host and port, the scheme's usual one left out."""
    parts = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host.removesuffix(usual)}"


def _label(request: Request) -> str:
    """A request in a few words; a chart's number is in its query string or its body."""
    parts = urlsplit(request.url)
    text = unquote(parts.query) + (request.post_data_buffer or b"").decode(errors="replace")
    chart = re.search(r"""slice_id["']?\W{1,3}(\d+)""", text)
    return f"{request.method} {parts.path}" + (f" of chart {chart[1]}" if chart else "")


def _line(error: Exception) -> str:
    """The first line of an error's text, without the call that raised it."""
    return str(error).strip().partition("\n")[0].split(": ", 1)[-1]
