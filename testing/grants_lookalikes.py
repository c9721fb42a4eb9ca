"""Requests that look like one that is given again, and are others: each beside the oracle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from testing.grants import PASSWORD, World


def lookalikes(world: World) -> dict[str, Any]:
    """Requests that look like one that is given again, each beside the oracle: status, headers and body.

    All are asked first, so that whatever can be is stored before any is compared.
    """
    asks = {name: partial(_whole, how) for name, how in _lookalikes(world).items()}
    for _ in range(3):
        for ask in asks.values():
            ask()
    hooks, wrong, given = world.grants.hooks, {}, []
    for name, ask in asks.items():
        before = hooks.given
        for _ in range(8):  # a second may pass between both
            ask()  # what a forced read has ended begins anew
            answer = ask()
            with world.off():
                expected = ask()
            if answer == expected:
                break
        else:
            wrong[name] = [answer, expected]
        given += [name] if hooks.given > before else []
    return {"wrong": wrong, "given": sorted(given), "asked": len(asks)}


def _whole(how: Callable[[], Any]) -> Any:
    response = how()
    aside = ("Date", "Set-Cookie", "Content-Security-Policy")
    headers = sorted((name, value) for name, value in response.headers if name not in aside)
    cookies = sorted(cookie.partition("=")[0] for cookie in response.headers.getlist("Set-Cookie"))
    return response.status_code, headers, cookies, response.get_data().decode("latin-1")


def _lookalikes(world: World) -> dict[str, Callable[[], Any]]:
    body = world.body(row_limit=77)
    text = json.dumps(body)
    path = "/api/v1/chart/data"
    other = json.dumps(world.body("own", row_limit=77))
    ask = _Asker(world, path, text)
    doubled = text[:-1] + f', "datasource": {{"id": {world.datasets["own"]}, "type": "table"}}}}'
    asks: dict[str, Callable[[], Any]] = {
        "plain": ask(), "spaces": ask(data=text.replace(": ", ":  ")), "doubled key": ask(data=doubled),
        "no type": ask(content_type="text/plain"), "charset": ask(content_type="application/json; charset=latin-1"),
        "form": ask(data={"form_data": text}, content_type=None),
        "two forms": ask(data={"form_data": [text, other]}, content_type=None),
        "two forms turned": ask(data={"form_data": [other, text]}, content_type=None),
        "upload": ask(data={"form_data": (_file(text), "f.json")}, content_type="multipart/form-data"),
        "query": ask(path=f"{path}?form_data=%7B%22slice_id%22%3A1%7D"),
        "two queries": ask(path=f"{path}?form_data=%7B%7D&form_data=%7B%22slice_id%22%3A1%7D"),
        "dashboard": ask(path=f"{path}?dashboard_id={world.board_id}"), "force in url": ask(path=f"{path}?force=true"),
        "csv": ask(data=json.dumps(body | {"result_format": "csv"})),
        "xlsx status": ask(data=json.dumps(body | {"result_format": "wrong"})),
        "query type": ask(data=json.dumps(body | {"result_type": "query"})),
        "columns": ask(data=json.dumps(body | {"result_type": "columns"})),
        "results": ask(data=json.dumps(body | {"result_type": "results"})),
        "other dataset": ask(data=other), "head": ask(method="HEAD"), "options": ask(method="OPTIONS"),
        "get": ask(method="GET"), "slash": ask(path=f"{path}/"), "case": ask(path="/api/v1/chart/Data"),
        "empty": ask(data=""), "cut": ask(data=text[:-1]), "chunked": ask(chunked=True),
        "forwarded": ask(headers={"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "x", "X-Forwarded-Proto": "https"}),
        "prefix": ask(headers={"X-Forwarded-Prefix": "/x"}), "host": ask(headers={"Host": "else.example.org"}),
        "referer": ask(headers={"Referer": "http://localhost/superset/dashboard/1/?standalone=3"}),
        "override": ask(headers={"X-HTTP-Method-Override": "GET"}), "german": ask(headers={"Accept-Language": "de"}),
        "accept": ask(headers={"Accept": "text/html"}), "range": ask(headers={"Range": "bytes=0-9"}),
        "etag": ask(headers={"If-None-Match": "*", "If-Modified-Since": "Sat, 28 Nov 2099 15:57:12 GMT"}),
        "zstd": ask(headers={"Accept-Encoding": "zstd"}), "gzip;q=0": ask(headers={"Accept-Encoding": "gzip;q=0, br"}),
        "api key": ask(headers={"Authorization": "Bearer sst_0123456789abcdef"}),
        "basic": ask(headers={"Authorization": "Basic cDE6aW5zaWRlLTEh"}),
        "guest too": ask(headers={"X-GuestToken": world.guest().environ_base["HTTP_X_GUESTTOKEN"]}),
    }  # fmt: skip
    for kind in ("session", "guest", "logged out", "other", "moved"):
        asks[kind] = _Asker(world, path, text, kind)()
    # Last: they end what was given again, since they store its rows anew.
    asks["force"] = ask(data=json.dumps(body | {"force": True}))
    return asks


class _Asker:
    """Makes requests of one person that differ from a plain one in one thing."""

    def __init__(self, world: World, path: str, text: str, kind: str = "jwt") -> None:
        self._plain: Mapping[str, Any] = {
            "path": path, "data": text, "content_type": "application/json", "method": "POST",
        }  # fmt: skip
        self._client = _client(world, kind)

    def __call__(self, chunked: bool = False, **other: Any) -> Callable[[], Any]:
        def ask() -> Any:
            plain = {**self._plain, **other}
            path, data = plain.pop("path"), plain["data"]
            if isinstance(data, dict):
                plain["data"] = {name: _again(value) for name, value in data.items()}
            if chunked:
                plain["input_stream"] = _file(plain.pop("data"))
                plain["environ_overrides"] = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
            return self._client.open(path, **plain)

        return ask


def _client(world: World, kind: str) -> Any:
    if kind == "guest":
        return world.guest()
    if kind in ("jwt", "session"):
        return world.client("p2", kind)
    if kind == "other":
        return world.client("p5", "session")
    client = world.app.test_client()
    client.post("/login/", data={"username": "p2", "password": PASSWORD})
    if kind == "moved":  # the cookie comes from another browser now
        client.environ_base["HTTP_USER_AGENT"] = "somebody else's"
    else:
        client.get("/logout/")
    return client


def _file(text: str) -> Any:
    from io import BytesIO

    return BytesIO(text.encode())


def _again(value: Any) -> Any:
    """An upload once more: a test client closes what it has sent."""
    if isinstance(value, tuple):
        value[0].seek(0)
        return (_file(value[0].read().decode()), *value[1:])
    return value
