"""A page's chart requests are seen whole, whatever hides its charts, and no other server hears of them."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from sqlalchemy import create_engine, text

from superset_ext.embedded.ports import free_port
from superset_ext.warm.discovery import chromium
from superset_ext.warm.discovery.chromium import BrowserMissing
from superset_ext.warm.discovery.traffic import Seen
from superset_ext.warm.discovery.visit import visit
from superset_ext.warm.discovery.walk import Visit
from superset_ext.warm.registry.requests import kind_of
from testing.processes import below, those
from testing.serving import Client

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900), pytest.mark.thorough]
PATIENCE = 180.0  # seconds
HEADER = "X-Test-Secret"
FIX = r"playwright install --with-deps chromium.*SUPERSET_EXT_WARM_BROWSER"
# With the number of their tabs.
# Tabs and filters, and maps; warming's own test opens all nine.
DASHBOARDS = {"Sales Dashboard": 2, "deck.gl Demo": 0}


@pytest.fixture(scope="module")
def client(superset_stack: Any) -> Client:
    return Client(superset_stack.url, superset_stack.user, superset_stack.password)


def opened(client: Client, path: str, seconds: float = 2 * PATIENCE) -> Visit:
    cookies = {cookie.name: str(cookie.value) for cookie in client.http.cookies}
    return visit(client.base + path, cookies, headers={HEADER: "1"}, executable=None, seconds=seconds)


def slices(superset_stack: Any, title: str) -> tuple[int, set[int]]:
    """A dashboard's id and those of its charts; Markdown and headings are no rows there."""
    engine = create_engine(superset_stack.database_url.partition("?")[0])
    asked = "SELECT d.id, s.slice_id FROM dashboards d JOIN dashboard_slices s ON s.dashboard_id = d.id"
    with engine.connect() as connection:
        rows = connection.execute(text(f"{asked} WHERE d.dashboard_title = :title"), {"title": title}).all()
    engine.dispose()
    return rows[0][0], {row[1] for row in rows}


def chart(seen: Seen) -> int | None:
    """The chart of a request; a filter's request for its values has none."""
    match = re.search(r"""slice_id["']?\W{1,3}(\d+)""", unquote(seen.query) + seen.body.decode())
    return int(match[1]) if match else None


def form_data(seen: Seen) -> dict[str, Any]:
    """What an old chart sent in the field `form_data` of its form."""
    parts = message_from_bytes(b"Content-Type: " + seen.content_type.encode() + b"\r\n\r\n" + seen.body)
    sent = {p.get_param("name", header="content-disposition"): p.get_payload(decode=True) for p in parts.get_payload()}
    return dict(json.loads(sent["form_data"]))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "title",
    [pytest.param(title, marks=pytest.mark.marathon if title == "deck.gl Demo" else ()) for title in DASHBOARDS],
)
def test_every_chart_of_a_dashboard_is_seen(client: Client, superset_stack: Any, title: str) -> None:
    """Intent: charts that need a tab, a scroll or a filter's default are warmed like those in plain view."""
    number, charts = slices(superset_stack, title)
    seen = opened(client, f"/superset/dashboard/{number}/")
    assert {chart(one) for one in seen.requests} - {None} == charts
    assert (seen.tabs, seen.problems) == (DASHBOARDS[title], ())
    for one in seen.requests:
        assert one.status == 200
        assert kind_of(one.path) in ("data", "explore")
        body = form_data(one) if "form" in one.content_type else json.loads(one.body)
        assert body


def test_a_charts_page_is_seen(client: Client, superset_stack: Any) -> None:
    """Intent: a chart by itself, outside of any dashboard, is warmed as its page asks for it."""
    number = min(slices(superset_stack, "Sales Dashboard")[1])
    seen = opened(client, f"/explore/?slice_id={number}")
    assert {chart(one) for one in seen.requests} == {number}
    assert seen.problems == ()


# A tab is a list of what it holds: a number is a chart, a list of lists are tabs of its own.
def layout(client: Client, tabs: list[Any], charts: Iterator[int]) -> dict[str, Any]:
    """The position JSON of a dashboard with such tabs."""
    nodes: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": "Nested"}},
    }
    numbers = count()

    def add(kind: str, above: list[str], **meta: Any) -> list[str]:
        name = f"{kind}-{next(numbers)}"
        nodes[name] = {"type": kind, "id": name, "children": [], "parents": above, "meta": meta}
        nodes[above[-1]]["children"].append(name)
        return [*above, name]

    def fill(content: Any, above: list[str]) -> None:
        if isinstance(content, int):
            row = add("ROW", above, background="BACKGROUND_TRANSPARENT")
            add("CHART", row, chartId=next(charts), width=4, height=content)
            return
        bar = add("TABS", above)
        for tab in content:
            inside = add("TAB", bar, text=f"A tab with a long name {next(numbers)}")
            for part in tab:
                fill(part, inside)

    fill(tabs, ["ROOT_ID", "GRID_ID"])
    return nodes


@pytest.fixture
def make_dashboard(client: Client) -> Iterator[Callable[[list[Any], list[int]], int]]:
    made: list[int] = []

    def make(tabs: list[Any], charts: list[int]) -> int:
        nodes = layout(client, tabs, iter(charts))
        answer = client.post("/api/v1/dashboard/", json={"dashboard_title": "Nested tabs"})
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
        metadata = json.dumps({"positions": nodes})
        put = client.http.put(f"{client.base}/api/v1/dashboard/{made[0]}", json={"json_metadata": metadata})
        assert put.status_code == 200, put.text
        return made[0]

    yield make
    for number in made:
        client.http.delete(f"{client.base}/api/v1/dashboard/{number}").raise_for_status()


@pytest.mark.marathon
def test_tabs_in_tabs_and_tabs_that_do_not_fit_the_bar(
    client: Client, superset_stack: Any, make_dashboard: Callable[..., int]
) -> None:
    """Intent: a tab that another one hides again, and one that the bar folds away, is opened all the same."""
    charts = sorted(slices(superset_stack, "Featured Charts")[1])[:24]
    below = 60  # a chart of this height puts the next one out of view
    tabs = [
        [[[below, 20], [20, [[20], [20]]]], 20],
        [[[20], [20]]],
        *([20] for _ in range(14)),
    ]
    number = make_dashboard(tabs, charts)
    used = slices(superset_stack, "Nested tabs")[1]
    assert len(used) == 22
    seen = opened(client, f"/superset/dashboard/{number}/")
    assert {chart(one) for one in seen.requests} == used
    assert (seen.tabs, seen.problems) == (22, ())


@dataclass
class Server:
    """A server that notes what it is asked; a path's answer is by `answers`, else empty.

    Attributes:
        answers: status, headers and body; `None` for a path that gets no answer.
        asked: each request's method, path, headers and body.
    """

    answers: dict[str, tuple[int, dict[str, str], bytes] | None] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    ended: Event = field(default_factory=Event)
    url: str = ""

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        path = urlsplit(handler.path).path
        self.asked.append((handler.command, path, {k.lower(): v for k, v in handler.headers.items()}, body))
        answer = self.answers.get(path, (200, {}, b""))
        if answer is None:
            self.ended.wait(PATIENCE)
            return
        status, headers, content = answer
        handler.send_response(status)
        for name, value in {
            "Content-Type": "text/html; charset=utf-8",
            "Access-Control-Allow-Origin": "*",
            **headers,
        }.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def page(self, script: str) -> str:
        """The URL of a page that looks like a dashboard and runs a script."""
        html = f"<div class='grid-container'>charts</div><script>{script}</script>"
        self.answers["/superset/dashboard/1/"] = (200, {}, html.encode())
        return f"{self.url}/superset/dashboard/1/"

    def with_header(self) -> set[str]:
        return {path for _, path, headers, _ in self.asked if HEADER.lower() in headers}


@pytest.fixture
def make_server() -> Iterator[Callable[[], Server]]:
    made: list[tuple[Server, ThreadingHTTPServer]] = []

    def make() -> Server:
        server = Server()

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                server.handle(self)

            do_GET = do_POST = do_OPTIONS = _any

            def log_message(self, *_: Any) -> None: ...

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.url = f"http://127.0.0.1:{http.server_port}"
        Thread(target=http.serve_forever, daemon=True).start()
        made.append((server, http))
        return server

    yield make
    for server, http in made:
        server.ended.set()
        http.shutdown()
        http.server_close()


def look(url: str, seconds: float = PATIENCE, **cookies: str) -> Visit:
    return visit(url, cookies, headers={HEADER: "secret"}, executable=None, seconds=seconds)


ASKS = """
const form = new FormData();
form.append("form_data", JSON.stringify({slice_id: 3, name: "Zoë"}));
const json = {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"b": 1, "a": "ä"}'};
fetch("/api/v1/chart/data?form_data=%7B%22slice_id%22%3A12%7D&dashboard_id=1", json);
fetch("/api/v1/chart/7/data/?type=full");
fetch("/superset/explore_json/?form_data=x", {method: "POST", body: form});
fetch("/api/v1/chart/7"); fetch("/api/v1/chart/data/abc"); fetch("/superset/log/", json);
"""


def test_requests_are_kept_as_they_were_sent(make_server: Callable[[], Server]) -> None:
    """Intent: what is asked again later is the same to the byte, or it may have another key."""
    server = make_server()
    server.answers["/api/v1/chart/7/data/"] = (202, {}, b"{}")
    seen = look(server.page(ASKS), session="mine")
    stored, data, old = sorted(seen.requests, key=lambda one: one.path)
    assert data == Seen(
        "/api/v1/chart/data", "form_data=%7B%22slice_id%22%3A12%7D&dashboard_id=1", b'{"b": 1, "a": "\xc3\xa4"}',
        "application/json", 200,
    )  # fmt: skip
    assert stored == Seen("/api/v1/chart/7/data/", "type=full", b"", "", 202)
    assert (old.path, old.query, form_data(old)) == (
        "/superset/explore_json/", "form_data=x", {"slice_id": 3, "name": "Zoë"}
    )  # fmt: skip
    assert (len(seen.requests), seen.tabs, seen.problems) == (3, 0, ())
    received = {path: body for _, path, _, body in server.asked}
    assert received["/api/v1/chart/data"] == data.body
    assert received["/superset/explore_json/"] == old.body


SCROLLED = """
const body = document.querySelector(".grid-container");
const look = new IntersectionObserver(entries => entries.filter(e => e.isIntersecting).forEach(e => {
    look.unobserve(e.target);
    e.target.innerHTML = "<p class=loading>…";
    setTimeout(() => fetch(`/api/v1/chart/${e.target.id}/data/`).then(() => e.target.innerHTML = ""), 900);
}));
for (const [id, height] of [300, 5000, 300, 10, 2500, 300].entries()) {
    const chart = Object.assign(document.createElement("div"), {id, className: "dashboard-component-chart-holder"});
    chart.style.cssText = `height: ${height}px; margin-bottom: 100px`;
    body.append(chart);
    look.observe(chart);
}
"""


def test_charts_that_ask_when_they_are_scrolled_to_are_seen(make_server: Callable[[], Server]) -> None:
    """Intent: Superset may defer charts out of view (DASHBOARD_VIRTUALIZATION_DEFER_DATA), each with a spinner."""
    seen = look(make_server().page(SCROLLED))
    assert sorted(one.path for one in seen.requests) == [f"/api/v1/chart/{number}/data/" for number in range(6)]
    assert seen.problems == ()


def test_headers_go_with_chart_requests_and_with_no_other(make_server: Callable[[], Server]) -> None:
    """Intent: they carry a secret; its holder's requests are not counted as people's."""
    server, other = make_server(), make_server()
    for number, target in enumerate((f"{other.url}/api/v1/chart/data", f"{server.url}/plain")):
        server.answers[f"/superset/explore_json/table/{number}/"] = (307, {"Location": target}, b"")
    page = server.page(f"""{ASKS}
        fetch("/superset/explore_json/table/0/"); fetch("/superset/explore_json/table/1/");
        fetch("{other.url}/api/v1/chart/data", {{method: "POST", body: "x"}});
        for (const kind of ["img", "iframe", "script"])
            document.body.append(Object.assign(document.createElement(kind), {{src: "{other.url}/" + kind}}));
    """)
    seen = look(page, session="mine")
    paths = {"/api/v1/chart/data", "/api/v1/chart/7/data/", "/superset/explore_json/"}
    paths |= {f"/superset/explore_json/table/{number}/" for number in (0, 1)}
    assert server.with_header() == paths
    assert {"/plain", "/api/v1/chart/7", "/superset/log/"} <= {path for _, path, *_ in server.asked}
    assert all(headers["cookie"] == "session=mine" for _, _, headers, _ in server.asked)
    assert other.asked == []
    assert {urlsplit(one.path).path for one in seen.requests} >= paths


def test_a_page_that_leads_elsewhere_is_not_followed(make_server: Callable[[], Server]) -> None:
    """Intent: a forged session does not go to another server, be it the one of a single sign-on."""
    server, other = make_server(), make_server()
    server.answers["/superset/dashboard/1/"] = (302, {"Location": f"{other.url}/authorize"}, b"")
    seen = look(f"{server.url}/superset/dashboard/1/")
    assert seen.requests == ()
    assert re.fullmatch(rf"opening the page failed: .*BLOCKED.*the page wanted {other.url}\)", *seen.problems)
    assert other.asked == []


ENDLESS = {
    ASKS: r"POST /api/v1/chart/data of chart 12",
    "setTimeout(() => { while (true); }, 100)": ".*",
    "document.querySelector('.grid-container').className = 'loading'": "its charts to show",
    "document.querySelector('.grid-container').innerHTML += '<p class=loading>…'": "a chart that .* loads",
}


def test_time_that_runs_out_names_what_it_waited_for(make_server: Callable[[], Server]) -> None:
    """Intent: a chart without an answer, and a page that hangs, never shows or loads for ever: it ends all the same."""
    servers = [make_server() for _ in ENDLESS]
    servers[0].answers["/api/v1/chart/data"] = None  # for longer than it is looked at
    pages = [server.page(script) for server, script in zip(servers, ENDLESS, strict=True)]
    visits = _ended_by_time(pages)
    assert _problems_are_as_expected(visits), visits
    assert {seen.path: seen.status for seen in visits[0].requests}["/api/v1/chart/data"] is None


def _ended_by_time(pages: list[str], seconds: float = 5.0) -> list[Visit]:
    """Visits that take all of their time, at once; on a slow machine it is doubled until each has come to its page."""
    with ThreadPoolExecutor(len(pages)) as threads:
        visits = [*threads.map(lambda page: look(page, seconds), pages)]
    if _problems_are_as_expected(visits) or seconds > PATIENCE / 4:
        return visits
    return _ended_by_time(pages, seconds * 2)


def _problems_are_as_expected(visits: list[Visit]) -> bool:
    patterns = [f"time ran out opening the page; pending: {pending}" for pending in ENDLESS.values()]
    return all(re.fullmatch(pattern, "\n".join(one.problems)) for pattern, one in zip(patterns, visits, strict=True))


def test_a_browser_that_is_too_slow_to_start_is_not_missing(tmp_path: Path) -> None:
    """Intent: a busy machine is not told to install what it has."""
    slow = tmp_path / "chromium"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    seen = visit("http://127.0.0.1:9/", {}, headers={}, executable=str(slow), seconds=1)
    assert seen == Visit((), 0, ("time ran out starting the browser",))


@pytest.mark.parametrize(
    ("victim", "problem"),
    [("--headless", "opening the page failed: .*closed"), ("run-driver", "the browser failed: Connection closed.*")],
)
def test_a_browser_that_dies_is_told(make_server: Callable[[], Server], victim: str, problem: str) -> None:
    """Intent: a browser or driver that the kernel kills is a reason in a line, and no exception."""
    server = make_server()
    url = server.page("setTimeout(() => fetch('/now'), 200); document.body.innerHTML += '<p class=loading>…'")

    others = set(below())

    def kill() -> None:
        while not any(path == "/now" for _, path, *_ in server.asked):
            time.sleep(0.05)
        those(below(), lambda child: child not in others and victim in " ".join(child.cmdline()))[0].kill()

    Thread(target=kill, daemon=True).start()
    assert re.fullmatch(problem, *look(url).problems)


def test_a_request_that_is_cut_off_is_told(make_server: Callable[[], Server]) -> None:
    """Intent: a chart whose answer never came is a problem of the page, named by its number."""
    server = make_server()
    server.answers["/api/v1/chart/data"] = None
    server.ended.set()  # the connection is closed without an answer
    seen = look(server.page(ASKS))
    assert re.fullmatch(r"POST /api/v1/chart/data of chart 12 got no answer: net::\S+", *seen.problems)


def test_a_page_that_lets_go_of_a_request_is_no_fault(make_server: Callable[[], Server]) -> None:
    """Intent: a chart that asks anew cancels its last request, and nothing is missing then."""
    server = make_server()
    server.answers["/api/v1/chart/7/data/"] = None
    stop = "const c = new AbortController(); setTimeout(() => c.abort(), 300);"
    seen = look(server.page(f"{stop} fetch('/api/v1/chart/7/data/', {{signal: c.signal}}).catch(() => 0)"))
    assert [one.status for one in seen.requests] == [None]
    assert seen.problems == ()


def test_a_page_that_is_not_there_or_refused_is_told(superset_stack: Any, client: Client) -> None:
    """Intent: a deleted dashboard and a session that does not hold are told apart."""
    assert opened(client, "/superset/dashboard/987654/").problems == (
        "the page did not load: it was answered with status 404",
    )
    for path in ("/superset/dashboard/1/", "/explore/?slice_id=1"):
        seen = visit(superset_stack.url + path, {"session": "wrong"}, headers={}, executable=None, seconds=PATIENCE)
        assert seen.requests == ()
        assert [problem for problem in seen.problems if "the page shows the login" in problem] == [*seen.problems]
        assert len(seen.problems) == 1


def test_a_server_that_is_not_there_is_told() -> None:
    """Intent: a wrong base URL is a reason in a line."""
    problems = look(f"http://127.0.0.1:{free_port()}/").problems
    assert re.fullmatch("opening the page failed: .*ERR_CONNECTION_REFUSED.*", *problems)


def test_without_playwright_the_fix_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: Playwright is an extra; who lacks it learns the two commands."""
    monkeypatch.setitem(sys.modules, "playwright", None)
    with pytest.raises(BrowserMissing, match=f"pip install playwright.*{FIX}"):
        look("http://127.0.0.1:9/")


def test_without_a_browser_the_fix_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Intent: Playwright without a Chromium is of no use; the fix is in the one line."""
    nowhere = str(tmp_path / "chromium")
    with pytest.raises(BrowserMissing, match=f"{nowhere}.*{FIX}"):
        visit("http://127.0.0.1:9/", {}, headers={}, executable=nowhere, seconds=PATIENCE)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(chromium, "PLACES", ())
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(BrowserMissing, match=FIX) as raised:
        look("http://127.0.0.1:9/")
    assert "\n" not in str(raised.value)


def test_a_browser_that_is_on_no_path_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Intent: a Chromium that lies where another version of Playwright, or a system, has put it is found."""
    real = next(filter(None, map(shutil.which, chromium.NAMES)))
    place = tmp_path / "chromium-1" / "chrome-linux" / "chrome"
    place.parent.mkdir(parents=True)
    place.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    place.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(chromium, "PLACES", (str(tmp_path / "chromium*-*/chrome-*/*hrome*"),))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert chromium.present() == [str(place)]
    assert chromium.problem(None, PATIENCE) is None


def test_a_sandbox_that_does_not_start_is_told(tmp_path: Path) -> None:
    """Intent: in a container that forbids user namespaces, «install one» would be no help."""
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\necho 'FATAL:zygote_host_impl_linux.cc(132)] No usable sandbox!' >&2\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(BrowserMissing, match="user namespaces"):
        visit("http://127.0.0.1:9/", {}, headers={}, executable=str(fake), seconds=PATIENCE)
