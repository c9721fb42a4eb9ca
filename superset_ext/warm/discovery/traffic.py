"""The chart requests of a page, as they are made and answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from superset_ext.warm.registry.requests import kind_of

if TYPE_CHECKING:
    from playwright.async_api import Page, Request, Response


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


class Traffic:
    """The chart requests of a page, and which of them are still open.

    Attributes:
        open: those without an answer yet, in the order in which they were made.
        events: how many requests have begun or ended.
    """

    def __init__(self, page: Page) -> None:
        self.open: dict[Request, None] = {}
        self.events = 0
        self._made: list[Request] = []
        self._failed: dict[Request, str] = {}
        self._status: dict[Request, int] = {}
        page.on("request", self._begin)
        page.on("response", self._answer)
        page.on("requestfinished", self._end)
        page.on("requestfailed", self._fail)

    def seen(self) -> tuple[Seen, ...]:
        """All requests, in the order in which they were made."""
        return tuple(self._seen(request) for request in self._made)

    def _seen(self, request: Request) -> Seen:
        parts = urlsplit(request.url)
        body = request.post_data_buffer or b""
        return Seen(parts.path, parts.query, body, request.headers.get("content-type", ""), self._status.get(request))

    def unanswered(self) -> list[str]:
        """A line for each request that failed; one that the page itself let go is no fault."""
        lost = {request: why for request, why in self._failed.items() if "ERR_ABORTED" not in why}
        return [f"{_label(request)} got no answer: {why}" for request, why in lost.items()]

    def pending(self) -> str:
        """The open requests in a few words each; empty where there are none."""
        return ", ".join(map(_label, self.open))

    def _begin(self, request: Request) -> None:
        if is_for_chart(request.method, request.url):
            self._made.append(request)
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
            self._failed[request] = request.failure or "no reason given"
            self._end(request)


def is_for_chart(method: str, url: str) -> bool:
    """Whether a request asks for chart data."""
    return method in ("GET", "POST") and kind_of(urlsplit(url).path) is not None


def _label(request: Request) -> str:
    """A request in a few words; a chart's number is in its query string or its body."""
    parts = urlsplit(request.url)
    text = unquote(parts.query) + (request.post_data_buffer or b"").decode(errors="replace")
    chart = re.search(r"""slice_id["']?\W{1,3}(\d+)""", text)
    return f"{request.method} {parts.path}" + (f" of chart {chart[1]}" if chart else "")
