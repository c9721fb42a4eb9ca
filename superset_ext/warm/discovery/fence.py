"""Keeps a page's requests within its own origin, and puts our headers on those for charts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from superset_ext.warm.discovery.chromium import playwright_api
from superset_ext.warm.discovery.traffic import is_for_chart

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page


class Fence:
    """Lets requests out to one origin only.

    It uses Chromium's own protocol and not `page.route`, which does not see where a redirect leads and sends added
    headers along.

    Attributes:
        shut: other origins without which the page may not show.
    """

    def __init__(self, chromium: CDPSession, url: str, headers: Mapping[str, str]) -> None:
        self.shut: set[str] = set()
        self._chromium, self._origin, self._headers = chromium, origin(url), dict(headers)

    @classmethod
    async def around(cls, page: Page, url: str, headers: Mapping[str, str]) -> Fence:
        """A fence around the origin of `url`, from now on."""
        chromium = await page.context.new_cdp_session(page)
        fence = cls(chromium, url, headers)
        chromium.on("Fetch.requestPaused", fence._decide)
        await chromium.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
        return fence

    async def _decide(self, paused: dict[str, Any]) -> None:
        request, target = paused["request"], origin(paused["request"]["url"])
        if target == self._origin and is_for_chart(request["method"], request["url"]):
            sent = request["headers"] | self._headers
            await self._send("continueRequest", paused, headers=[{"name": k, "value": v} for k, v in sent.items()])
        elif target == self._origin or not target.startswith("http"):
            await self._send("continueRequest", paused)
        else:
            self._note(paused["resourceType"], target)
            await self._send("failRequest", paused, errorReason="BlockedByClient")

    def _note(self, kind: str, target: str) -> None:
        if kind in ("Document", "Script"):
            self.shut.add(target)

    async def _send(self, command: str, paused: dict[str, Any], **more: Any) -> None:
        with suppress(playwright_api().Error):  # the page has gone on, or away
            await self._chromium.send(f"Fetch.{command}", {"requestId": paused["requestId"], **more})


def origin(url: str) -> str:
    """Scheme, host and port of a URL, without the scheme's usual port."""
    parts = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host.removesuffix(usual)}"
