"""The way through a page: every tab is clicked, and every chart scrolled to, until nothing more is asked."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from superset_ext.compat import timeout_at
from superset_ext.warm.discovery.chromium import error_line, playwright_api
from superset_ext.warm.discovery.fence import Fence
from superset_ext.warm.discovery.traffic import Seen, Traffic

if TYPE_CHECKING:
    from playwright.async_api import Page

LOOK_SECONDS = 0.05  # between two looks at a page
QUIET_LOOKS = 10  # without a chart request, after which a page that is not loading has asked for everything
_LOGIN = r"/login/?$"
_READY = "[data-test='dashboard-content'], .grid-container, .dashboard-grid, [data-test='chart-container']"
_SPINS = """() => [...document.querySelectorAll(".loading, [data-test='loading-indicator']")].some(e => {
    const box = e.getBoundingClientRect();  // a chart that waits to be scrolled to may show one for ever
    return box.height > 0 && box.bottom > 0 && box.top < innerHeight;
})"""
_SHOWS = """([ready, login]) => document.querySelector(ready) || new RegExp(login).test(location.pathname)"""
# The deepest first: the content of a tab is done before another tab takes its place.
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


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page asked for.

    Attributes:
        requests: in the order in which they were made.
        tabs: how many were opened.
        problems: what could not be seen, a line each.
    """

    requests: tuple[Seen, ...] = ()
    tabs: int = 0
    problems: tuple[str, ...] = ()


class Walk:
    """The way through a page, and what went wrong on it."""

    def __init__(self, page: Page, url: str, fence: Fence) -> None:
        self._page, self._url, self._fence = page, url, fence
        self._traffic = Traffic(page)
        self._tabs: list[str] = []
        self._problems: list[str] = []
        self._where, self._awaits = "opening the page", "its first answer"

    async def until(self, deadline: float) -> Visit:
        """Go through the page, as far as possible until `deadline`, a time of the event loop."""
        try:
            async with timeout_at(deadline):
                await self._all()
        except TimeoutError:
            self._stopped(f"time ran out {self._where}; pending: {self._traffic.pending() or self._awaits}")
        except playwright_api().Error as error:
            self._stopped(f"{self._where} failed: {error_line(error)}")
        return Visit(self._traffic.seen(), len(self._tabs), (*self._problems, *self._traffic.unanswered()))

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

    async def _open(self) -> bool:
        """Open the page, and return whether it shows."""
        answer = await self._page.goto(self._url, wait_until="commit", timeout=0)
        if answer and answer.status >= 400:
            self._problems.append(f"the page did not load: it was answered with status {answer.status}")
            return False
        self._awaits = "its charts to show"
        await self._page.wait_for_function(_SHOWS, arg=[_READY, _LOGIN], timeout=0, polling=LOOK_SECONDS * 1000)
        return not self._shows_login()

    async def _next_tab(self) -> bool:
        """Open the next tab, and return whether there was one."""
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
        """Wait until nothing loads and no chart request was made for a while.

        The while is counted in looks that the page has answered and not by the clock: a page that does not get to run
        asks for nothing, and is not at rest.
        """
        self._awaits = "a chart that shows that it loads"
        looks = 0
        while looks < QUIET_LOOKS:
            known = self._traffic.events
            await asyncio.sleep(LOOK_SECONDS)
            spins = await self._page.evaluate(_SPINS)
            looks = 0 if spins or self._traffic.open or self._traffic.events != known else looks + 1
