"""Opens a page of Superset in a headless Chromium and returns every chart request that the page makes.

Only a browser knows what a page asks: which charts it has, what its filters' defaults add to them, and in what order
each list of a query comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from superset_ext.compat import timeout_at
from superset_ext.warm.discovery.chromium import error_line, launched, playwright_api
from superset_ext.warm.discovery.fence import Fence, origin
from superset_ext.warm.discovery.walk import Visit, Walk

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

VIEWPORT = {"width": 1400, "height": 2000}


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
    api = playwright_api()
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        async with api.async_playwright() as playwright, launched(playwright, executable, seconds) as browser:
            async with timeout_at(deadline):
                page = await _page(browser, url, cookies)
                fence = await Fence.around(page, url, headers)
            return await Walk(page, url, fence).until(deadline)
    except (TimeoutError, api.TimeoutError):
        return Visit(problems=("time ran out starting the browser",))
    except Exception as error:
        # Playwright has no class of its own for the death of the process that drives the browser.
        if type(error) is not Exception and not isinstance(error, api.Error):
            raise
        return Visit(problems=(f"the browser failed: {error_line(error)}",))


async def _page(browser: Browser, url: str, cookies: Mapping[str, str]) -> Page:
    context = await browser.new_context(viewport=VIEWPORT, service_workers="block")  # type: ignore[arg-type]
    root = origin(url) + "/"
    await context.add_cookies([{"name": name, "value": value, "url": root} for name, value in cookies.items()])
    return await context.new_page()
