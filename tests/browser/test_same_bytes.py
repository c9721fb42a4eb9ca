"""A granted answer is stock Superset's, byte for byte and header for header, of whoever asks and however compressed."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import brotli
import pytest
from backports import zstd

from testing.serving import Client
from testing.side_by_side import STOCK, Asked, Line, Response, cookie, requests_of, servers, token
from tests.browser.conftest import Passes

pytestmark = [pytest.mark.browser, pytest.mark.thorough, pytest.mark.timeout(1800)]
ENCODINGS = ("identity", "gzip", "br", "zstd")
PLAIN: Mapping[str | None, Any] = {
    None: bytes, "gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress,
}  # fmt: skip
OURS = "+ grants"
ASKS = 8  # until an answer is granted: the first ones fill the cache, make the grant and may race with its triggers
# What is new in each answer: its time; the cookie, which Flask signs with one; and the length, where times differ.
NEW = {"date", "set-cookie", "connection", "server", "content-length"}
# When and under which key each server's own cache has stored it; and, of `… : now`, the second, in the SQL too.
OWN = re.compile(
    rb'"(?:cached_dttm|queried_dttm|cache_key|cache_timeout|from_dttm|to_dttm)": [^,}]+'
    rb"|TO_TIMESTAMP\('[^']+'"
)


@pytest.fixture
def lines(superset_stack: Any, fresh_valkey: Any) -> Iterator[dict[str, dict[str, Line]]]:
    """By credential, a connection to stock and one to the package with grants; nothing is in their caches yet."""
    own = {"SUPERSET_EXT_REDIS_URL": fresh_valkey().url, "SUPERSET_EXT_RECORDER": "false"}
    with servers(superset_stack.env | own, (STOCK, OURS), workers=1) as urls:
        clients = {step: Client(url, superset_stack.user, superset_stack.password) for step, url in urls.items()}
        people = {
            "session": {step: cookie(client) for step, client in clients.items()},
            "JWT": {step: token(client) for step, client in clients.items()},
            "guest": dict.fromkeys(urls, guest(clients[STOCK])),
        }
        yield {kind: {step: Line(urls[step], own[step]) for step in urls} for kind, own in people.items()}


def guest(client: Client) -> dict[str, str]:
    """The headers of a guest of all dashboards, which are embedded from now on."""
    boards = client.get("/api/v1/dashboard/?q=(page_size:100)").json()["result"]
    resources = []
    for board in boards:
        made = client.post(f"/api/v1/dashboard/{board['id']}/embedded", json={"allowed_domains": []})
        resources.append({"type": "dashboard", "id": made.json()["result"]["uuid"]})
    asked = {"user": {"username": "guest"}, "resources": resources, "rls": []}
    return {"X-GuestToken": client.post("/api/v1/security/guest_token/", json=asked).json()["token"]}


def seen(response: Response) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and bytes of a response without what is new in each."""
    headers = {name.lower(): value for name, value in response.headers.items() if name.lower() not in NEW}
    return response.status, headers, OWN.sub(b"", plain(response))


def plain(response: Response) -> bytes:
    """The bytes of a response, uncompressed."""
    encodings = [value for name, value in response.headers.items() if name.lower() == "content-encoding"]
    return bytes(PLAIN[encodings[0] if encodings else None](response.data))


def difference(name: str, stock: Response, ours: Response) -> tuple[Any, ...] | None:
    """How two responses differ, with what was left aside of each, since a bound of time may be why; `None` if not."""
    if seen(stock) == seen(ours):
        return None
    return name, [OWN.findall(plain(response)) for response in (stock, ours)], seen(stock), seen(ours)


def is_known(asked: Asked, response: Response) -> bool:
    """Whether the server knows who asks: the API says 401 of a credential that has expired."""
    return response.status != 401 or not asked.path.startswith("/api/")


def granted(line: Line, asked: Asked, encoding: str, counted: Line) -> Response | None:
    """An answer that was given again; `None` where none is."""
    for _ in range(ASKS):
        before = given(counted)
        response = line.ask(asked, encoding)
        if given(counted) > before:
            return response
    return None


def given(line: Line) -> int:
    """How many answers the package's server has given again."""
    return int(line.ask(Asked("/testing/given", b"", "text/plain"), method="GET").data)


def test_answers_are_stocks_whoever_asks_and_however_compressed(passes: Passes, lines: Any) -> None:
    """Intent: of each request of the nine dashboards, the first answer, the cached one and the one that is given again
    are stock's: status, headers and bytes, by session in each encoding, by JWT and as a guest of an embedded page."""
    captured = [{"url": a.url, "method": a.method, "body": a.body, "ct": a.content_type} for a in passes.first]
    different, ungranted, unknown, count = [], [], [], 0
    for number, asked in enumerate(requests_of(captured)):
        for kind, own in lines.items():
            for encoding in ENCODINGS if kind == "session" else [ENCODINGS[number % len(ENCODINGS)]]:
                count += 1
                name = f"{kind} {encoding} {asked.path[:90]}"
                pairs = []
                if encoding == ENCODINGS[0] or kind != "session":  # later ones would ask for what is cached already
                    pairs.append([own[step].ask(asked, encoding) for step in (STOCK, OURS)])
                again = granted(own[OURS], asked, encoding, lines["session"][OURS])
                if again is None:
                    ungranted.append(name)
                else:
                    pairs.append([own[STOCK].ask(asked, encoding), again])
                unknown += [f"{name}: {stock.data[:200]!r}" for stock, _ in pairs if not is_known(asked, stock)]
                different += [of for pair in pairs if (of := difference(name, *pair))]
    assert (unknown, different) == ([], [])
    assert len(ungranted) <= 0.05 * count, json.dumps(ungranted)
