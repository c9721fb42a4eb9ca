"""Opens a page of Superset in a headless Chromium and tells every chart request that the page makes.

Only a browser knows what a page asks: which charts it has, what its filters' defaults add to them, and
in what order each list of a query comes. So every tab is clicked and every chart scrolled to.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from superset_ext.errors import SupersetExtError
from superset_ext.warm.registry.requests import kind_of

if TYPE_CHECKING:
    from playwright.async_api import Browser, CDPSession, Page, Playwright, Request, Response

VIEWPORT = {"width": 1400, "height": 2000}
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--disable-dev-shm-usage", "--disable-background-networking")
_TICK = 0.05  # seconds between two looks at a page
QUIET = 10  # looks without a chart request after which a page that is not loading has asked what it will
_CLOSE = 10.0  # seconds that a browser may take to close before it is killed
_INSTALL = "install one with `playwright install chromium`, or set SUPERSET_EXT_WARM_BROWSER to a chromium executable"
_LOGIN = r"/login/?$"
_READY = "[data-test='dashboard-content'], .grid-container, .dashboard-grid, [data-test='chart-container']"

_SPINS = """() => [...document.querySelectorAll(".loading, [data-test='loading-indicator']")].some(e => {
    const box = e.getBoundingClientRect();  // a chart that waits to be scrolled to may show one for ever
    return box.height > 0 && box.bottom > 0 && box.top < innerHeight;
})"""
_SHOWS = """([ready, login]) => document.querySelector(ready) || new RegExp(login).test(location.pathname)"""
# The deepest first: what a tab holds is done before another one takes its place.
_NEXT_TAB = """opened => {
    const bars = ".dashboard-component-tabs";
    const depth = e => e ? 1 + depth(e.parentElement.closest(bars)) : 0;
    const tabs = [...document.querySelectorAll(`${bars} .ant-tabs-tab`)]
        .map(e => ({e, key: e.dataset.nodeKey || e.innerText, name: e.innerText.trim(), depth: depth(e.closest(bars))}))
        .filter(tab => tab.e.getClientRects().length && !opened.includes(tab.key))
        .sort((one, other) => other.depth - one.depth);
    if (!tabs.length) return null;
    tabs[0].e.click();
    return [tabs[0].key, tabs[0].name];
}"""
_NEXT_CHART = """last => {
    const charts = [...document.querySelectorAll(".dashboard-component-chart-holder")]
        .filter(e => e.getClientRects().length);
    const next = charts.findIndex((e, index) => {
        const box = e.getBoundingClientRect();
        return index > last && (index === 0 || box.top < -1 || box.bottom > innerHeight + 1);
    });
    if (next >= 0) charts[next].scrollIntoView({block: "start", behavior: "instant"});
    return next;
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
    return asyncio.run(_visit(url, cookies, headers, executable, seconds))


async def _visit(
    url: str, cookies: Mapping[str, str], headers: Mapping[str, str], executable: str | None, seconds: float
) -> Visit:
    api = _playwright()
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        async with api.async_playwright() as playwright, _launched(playwright, executable, seconds) as browser:
            async with asyncio.timeout_at(deadline):
                page = await _page(browser, url, cookies)
                fence = await _Fence.around(page, url, headers)
            return await _Walk(page, url, fence).until(deadline)
    except (TimeoutError, api.TimeoutError):
        return Visit((), 0, ("time ran out starting the browser",))
    except Exception as error:
        # Playwright has no class of its own for the death of the process by which it drives.
        if type(error) is not Exception and not isinstance(error, api.Error):
            raise
        return Visit((), 0, (f"the browser failed: {_line(error)}",))


def _playwright() -> Any:
    """Its asynchronous half: the other one waits without end for a page whose script does not return."""
    try:
        from playwright import async_api
    except ImportError:
        raise BrowserMissing(f"Playwright is not installed; run `pip install playwright`, then {_INSTALL}") from None
    return async_api


@asynccontextmanager
async def _launched(playwright: Playwright, executable: str | None, seconds: float) -> AsyncIterator[Browser]:
    browser = await _launch(playwright, executable, seconds)
    try:
        yield browser
    finally:
        with suppress(TimeoutError, _playwright().Error):  # Playwright kills it when it ends itself
            await asyncio.wait_for(browser.close(), _CLOSE)


async def _launch(playwright: Playwright, executable: str | None, seconds: float) -> Browser:
    """The one that is named; else Playwright's own; else one on the path."""
    found = [executable] if executable else [None, *filter(None, map(shutil.which, NAMES))]
    reasons = []
    for path in found:
        try:
            return await _start(playwright, path, seconds)
        except _playwright().TimeoutError:
            raise  # there is one, and the machine is slow
        except _playwright().Error as error:
            reasons.append(_why(error))
    raise BrowserMissing(f"no Chromium starts ({reasons[-1]}); {_INSTALL}")


async def _start(playwright: Playwright, path: str | None, seconds: float) -> Browser:
    sandbox = os.geteuid() != 0  # root's Chromium has none; without it, Playwright adds `--no-sandbox`
    return await playwright.chromium.launch(
        executable_path=path, args=FLAGS, chromium_sandbox=sandbox, timeout=seconds * 1000, headless=True
    )


def _why(error: Exception) -> str:
    """Why a Chromium did not start; what it says of its sandbox comes far down in its output."""
    if "No usable sandbox" in str(error):
        return "its sandbox needs user namespaces, which this machine or container does not allow"
    return _line(error)


async def _page(browser: Browser, url: str, cookies: Mapping[str, str]) -> Page:
    context = await browser.new_context(viewport=VIEWPORT, service_workers="block")  # type: ignore[arg-type]
    root = _origin(url) + "/"
    await context.add_cookies([{"name": name, "value": value, "url": root} for name, value in cookies.items()])
    return await context.new_page()


class _Fence:
    """Lets requests out to one origin only, and puts the headers on those for charts.

    By Chromium's own protocol and not by `page.route`, which does not see where a redirect leads
    and sends added headers along.
    """

    def __init__(self, chromium: CDPSession, url: str, headers: Mapping[str, str]) -> None:
        self.shut: set[str] = set()  # other origins without which a page may not show
        self._chromium, self._origin, self._headers = chromium, _origin(url), dict(headers)

    @classmethod
    async def around(cls, page: Page, url: str, headers: Mapping[str, str]) -> _Fence:
        chromium = await page.context.new_cdp_session(page)
        fence = cls(chromium, url, headers)
        chromium.on("Fetch.requestPaused", fence._decide)
        await chromium.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
        return fence

    async def _decide(self, paused: dict[str, Any]) -> None:
        request, origin = paused["request"], _origin(paused["request"]["url"])
        if origin == self._origin and _is_chart(request["method"], request["url"]):
            sent = request["headers"] | self._headers
            await self._send("continueRequest", paused, headers=[{"name": k, "value": v} for k, v in sent.items()])
        elif origin == self._origin or not origin.startswith("http"):
            await self._send("continueRequest", paused)
        else:
            self._note(paused["resourceType"], origin)
            await self._send("failRequest", paused, errorReason="BlockedByClient")

    def _note(self, kind: str, origin: str) -> None:
        if kind in ("Document", "Script"):
            self.shut.add(origin)

    async def _send(self, answer: str, paused: dict[str, Any], **more: Any) -> None:
        with suppress(_playwright().Error):  # the page has gone on, or away
            await self._chromium.send(f"Fetch.{answer}", {"requestId": paused["requestId"], **more})


class _Traffic:
    """The chart requests of a page, and which of them are still open."""

    def __init__(self, page: Page) -> None:
        self.made: list[Request] = []
        self.open: dict[Request, None] = {}
        self.failed: dict[Request, str] = {}
        self._status: dict[Request, int] = {}
        self.events = 0
        page.on("request", self._begin)
        page.on("response", self._answer)
        page.on("requestfinished", self._end)
        page.on("requestfailed", self._fail)

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
            self.events += 1

    def _answer(self, response: Response) -> None:
        if response.request in self.open:
            self._status[response.request] = response.status

    def _end(self, request: Request) -> None:
        if request in self.open:
            del self.open[request]
            self.events += 1

    def _fail(self, request: Request) -> None:
        if request in self.open:
            self.failed[request] = request.failure or "no reason given"
            self._end(request)


class _Walk:
    """The way through a page, and what went wrong on it."""

    def __init__(self, page: Page, url: str, fence: _Fence) -> None:
        self._page, self._url, self._fence = page, url, fence
        self._traffic = _Traffic(page)
        self._tabs: list[str] = []
        self._problems: list[str] = []
        self._where, self._awaits = "opening the page", "its first answer"

    async def until(self, deadline: float) -> Visit:
        """Go through the page, as far as that comes by the event loop's time `deadline`."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._all()
        except TimeoutError:
            pending = ", ".join(map(_label, self._traffic.open)) or self._awaits
            self._stopped(f"time ran out {self._where}; pending: {pending}")
        except _playwright().Error as error:
            self._stopped(f"{self._where} failed: {_line(error)}")
        return self._visit()

    async def _all(self) -> None:
        """Open the page, then each tab, and look at every chart."""
        if not await self._open():
            return
        await self._look()
        while await self._next_tab():
            await self._look()

    def _stopped(self, problem: str) -> None:
        """Note why the way ended early."""
        wanted = ", ".join(sorted(self._fence.shut))
        shut = f" (nothing is let through to other origins; the page wanted {wanted})" if wanted else ""
        self._problems.append(problem + shut)
        self._shows_login()

    def _shows_login(self) -> bool:
        shown = re.search(_LOGIN, urlsplit(self._page.url).path) is not None
        if shown:
            self._problems.append("the page shows the login: its session is not valid, or its user may not see it")
        return shown

    def _visit(self) -> Visit:
        # A page that asks a chart's data anew lets go of the request before; that is no fault.
        lost = {r: why for r, why in self._traffic.failed.items() if "ERR_ABORTED" not in why}
        unanswered = [f"{_label(request)} got no answer: {why}" for request, why in lost.items()]
        return Visit(self._traffic.seen(), len(self._tabs), (*self._problems, *unanswered))

    async def _open(self) -> bool:
        answer = await self._page.goto(self._url, wait_until="commit", timeout=0)
        if answer and answer.status >= 400:
            self._problems.append(f"the page did not load: it was answered with status {answer.status}")
            return False
        self._awaits = "its charts to show"
        await self._page.wait_for_function(_SHOWS, arg=[_READY, _LOGIN], timeout=0, polling=_TICK * 1000)
        return not self._shows_login()

    async def _next_tab(self) -> bool:
        self._awaits = "its tabs"
        tab = await self._page.evaluate(_NEXT_TAB, self._tabs)
        if tab is None:
            return False
        self._tabs.append(tab[0])
        self._where = f"in the tab «{tab[1]}»"
        return True

    async def _look(self) -> None:
        """Scroll to one chart after the other that is not in view."""
        await self._settle()
        last = -1
        while (last := await self._page.evaluate(_NEXT_CHART, last)) >= 0:
            await self._settle()

    async def _settle(self) -> None:
        """Wait until nothing loads and no chart request was made for a while, by looks that the page has answered and
        not by the clock: a page that does not get to run asks for nothing, and is not at rest."""
        self._awaits = "a chart that shows that it loads"
        looks = 0
        while looks < QUIET:
            known = self._traffic.events
            await asyncio.sleep(_TICK)
            spins = await self._page.evaluate(_SPINS)
            looks = 0 if spins or self._traffic.open or self._traffic.events != known else looks + 1


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
