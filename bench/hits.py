"""Cached chart answers beside stock's: the same requests to stock, and to the package with and without grants, in turn.

Run with `python -m bench.hits`. A browser opens the example dashboards of an embedded stack (TEST_STACK names one that
runs already); HITS_REQUESTS names a JSON file with requests to take instead. Three web servers over the stack's
databases then answer each request one after the other: stock with Flask-Caching's RedisCache, the package, and the
package with grants. Bodies and headers of all three are compared, for each encoding.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests.utils import default_user_agent

from testing.serving import Client, web

ENCODINGS = ("identity", "gzip", "br", "zstd")
ROUNDS = int(os.environ.get("HITS_ROUNDS", "10"))
CLIENTS, CLIENT_SECONDS = 8, float(os.environ.get("HITS_SECONDS", "10"))
SERVERS = ("stock", "package", "grants")
# Headers that are new in each answer, and what an answer says of its own time.
_OWN = {"date", "set-cookie", "connection", "server"}
_TIMES = re.compile(rb'"(?:cached_dttm|queried_dttm|cache_key|from_dttm|to_dttm)": [^,}]+')
_STOCK = """
import os
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_EXT_DATABASE_URL"]
SQLALCHEMY_EXAMPLES_URI = os.environ["SUPERSET__SQLALCHEMY_EXAMPLES_URI"]
CELERY_CONFIG = None
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
FEATURE_FLAGS = {"ENABLE_TEMPLATE_PROCESSING": True, "DASHBOARD_RBAC": True, "CACHE_IMPERSONATION": True}
_URL = os.environ["SUPERSET_EXT_REDIS_URL"] + "/11"
DATA_CACHE_CONFIG = {
    "CACHE_TYPE": "RedisCache", "CACHE_DEFAULT_TIMEOUT": 900, "CACHE_KEY_PREFIX": "s_", "CACHE_REDIS_URL": _URL
}
"""
_OURS = _STOCK.replace("DATA_CACHE_CONFIG", "_UNUSED") + "from superset_ext.config import *\n"


@dataclass(frozen=True)
class Asked:
    """A chart request, as a browser makes it."""

    path: str
    body: bytes
    kind: str


class Line:
    """A kept connection to one server, as one person.

    Args:
        url: the server's.
        cookie: the person's.
    """

    def __init__(self, url: str, cookie: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        self._cookie = cookie

    def ask(self, asked: Asked, encoding: str = "zstd") -> tuple[float, int, Mapping[str, str], bytes]:
        """Milliseconds, status, headers and bytes of an answer."""
        headers = {"Content-Type": asked.kind, "Cookie": self._cookie, "Accept-Encoding": encoding}
        headers["User-Agent"] = default_user_agent()  # a session is of the browser that logged in
        try:
            return self._asked(asked, headers)
        except (http.client.HTTPException, OSError):
            self._http.close()  # it was kept for longer than the server does
            return self._asked(asked, headers)

    def _asked(self, asked: Asked, headers: Mapping[str, str]) -> tuple[float, int, Mapping[str, str], bytes]:
        began = time.perf_counter()
        self._http.request("POST", asked.path, asked.body, dict(headers))
        answer = self._http.getresponse()
        data = answer.read()
        return (time.perf_counter() - began) * 1000, answer.status, dict(answer.getheaders()), data


def requests_of(captured: Sequence[Mapping[str, Any]]) -> list[Asked]:
    """The requests of a browser's answers, each once."""
    asked = []
    for answer in captured:
        parts = urlsplit(answer["url"])
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if answer["method"] == "POST" and "force=true" not in path:
            asked.append(Asked(path, (answer["body"] or "").encode(), answer["ct"]))
    return list(dict.fromkeys(asked))


def captured(stack: Any) -> list[dict[str, Any]]:
    """What the example dashboards ask, from a file or a browser."""
    if file := os.environ.get("HITS_REQUESTS"):
        results: list[dict[str, Any]] = json.loads(Path(file).read_text())
        return results
    from testing.browser import Visit, browser

    with browser() as chromium:
        visit = Visit(chromium.new_page(viewport={"width": 1400, "height": 1000}), stack.url)
        visit.login(stack.user, stack.password)
        answers = [answer for board in visit.dashboards() for answer in visit.open(board["id"])]
    return [{"url": a.url, "method": a.method, "body": a.body, "ct": a.content_type} for a in answers]


@contextmanager
def servers(env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The URLs of three web servers over a stack's databases."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        urls = {}
        for server in SERVERS:
            config = Path(name) / f"{server}_config.py"
            config.write_text(_STOCK if server == "stock" else _OURS)
            more = {"SUPERSET_EXT_GRANTS": "triggers" if server == "grants" else "off"}
            more["GUNICORN_CMD_ARGS"] = "--no-control-socket --keep-alive 75"  # a client's connection is kept
            own = {key: value for key, value in env.items() if key not in ("SUPERSET_PORT", "SUPERSET_BIND")}
            urls[server] = running.enter_context(web(config, own | more))
        yield urls


def run(env: Mapping[str, str], user: str, password: str, asked: Sequence[Asked]) -> dict[str, Any]:
    """The figures: milliseconds by server, and what was unequal."""
    with servers(env) as urls:
        cookies = {name: _cookie(Client(url, user, password)) for name, url in urls.items()}
        lines = {name: Line(url, cookies[name]) for name, url in urls.items()}
        usable = [one for one in asked if _is_cached(lines, one)]
        grantable = _is_granted(lines, usable)
        unequal = [part for one in usable for part in _unequal(lines, one)]
        times = _times(lines, grantable, ROUNDS)
        misses = _times(lines, [_new(one, number) for number in range(2) for one in grantable], 1)
        rates = {name: _rate(urls[name], cookies[name], grantable) for name in SERVERS}
    return {
        "requests": len(asked), "cached": len(usable), "granted": len(grantable), "unequal": unequal[:20],
        "ms": {name: _quantiles(values) for name, values in times.items()}, "answers_a_second": rates,
        "ms_of_first": {name: _quantiles(values) for name, values in misses.items()},
        "times_faster": round(statistics.median(times["stock"]) / statistics.median(times["grants"]), 1),
    }  # fmt: skip


def _cookie(client: Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.http.cookies.items())


def _is_cached(lines: Mapping[str, Line], asked: Asked) -> bool:
    """Whether all servers answer a request from their caches, which they have by now."""
    for _ in range(2):
        answers = [line.ask(asked, "identity") for line in lines.values()]
        if all(status == 200 and b'"is_cached": true' in data for _, status, _, data in answers):
            return True
    return False


def _is_granted(lines: Mapping[str, Line], asked: Sequence[Asked]) -> list[Asked]:
    """The requests that are given again: they take a fraction of what they take without grants."""
    granted = []
    for one in asked:
        without, given = (statistics.median(lines[name].ask(one)[0] for _ in range(3)) for name in SERVERS[1:])
        if given < without * 0.4:
            granted.append(one)
    return granted


def _unequal(lines: Mapping[str, Line], asked: Asked) -> list[str]:
    results = []
    for encoding in ENCODINGS:
        seen = {}
        for name in ("stock", "grants"):
            for _ in range(2 if name == "grants" else 1):  # the second one is given again
                _, status, headers, data = lines[name].ask(asked, encoding)
            own = {key.lower(): value for key, value in headers.items() if key.lower() not in _OWN}
            plain = _TIMES.sub(b"", data) if encoding == "identity" else data
            # Compressed answers differ where they say a time, and then in length too.
            kept = own if encoding == "identity" else {k: v for k, v in own.items() if k != "content-length"}
            seen[name] = (status, kept, plain if encoding == "identity" else None)
        if seen["grants"] != seen["stock"]:
            parts = [
                part
                for part, one, two in zip(
                    ("status", "headers", "body"), *(seen[n] for n in ("grants", "stock")), strict=True
                )
                if one != two
            ]
            results.append(f"{asked.path[:80]} {encoding}: {', '.join(parts)}")
    return results


def _new(asked: Asked, number: int) -> Asked:
    """The same request as one that nobody has made: Superset finds its rows in the cache, and it has no grant."""
    mark = "&" if "?" in asked.path else "?"
    return Asked(f"{asked.path}{mark}nobody={time.time_ns()}{number}", asked.body, asked.kind)


def _times(lines: Mapping[str, Line], asked: Sequence[Asked], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in lines}
    for number in range(rounds):
        for place, one in enumerate(asked):
            turn = (number + place) % 3
            for name in (*SERVERS[turn:], *SERVERS[:turn]):
                times[name].append(lines[name].ask(one)[0])
    return times


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(statistics.median(values), 2), "p95": round(cuts[18], 2), "best": round(min(values), 2)}


def _rate(url: str, cookie: str, asked: Sequence[Asked]) -> float:
    """Answers a second to eight clients at once."""
    counts, end = [0] * CLIENTS, time.monotonic() + CLIENT_SECONDS

    def client(number: int) -> None:
        line = Line(url, cookie)
        while time.monotonic() < end:
            for one in asked[number:] or asked:
                line.ask(one)
                counts[number] += 1
                if time.monotonic() >= end:
                    break

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(sum(counts) / CLIENT_SECONDS, 1)


def show(results: Mapping[str, Any]) -> None:
    """Print a table and the JSON."""
    print(f"of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{results['requests']} requests, {results['cached']} cached by all, {results['granted']} granted")
    print(f"{'server':<10}{'p50 ms':>9}{'p95 ms':>9}{'best ms':>9}{'8 clients: answers/s':>24}")
    for name, row in results["ms"].items():
        print(f"{name:<10}{row['p50']:>9}{row['p95']:>9}{row['best']:>9}{results['answers_a_second'][name]:>24}")
    first = {name: row["p50"] for name, row in results["ms_of_first"].items()}
    print(f"a request that has no grant yet, p50 ms: {first}")
    print(f"grants answer {results['times_faster']} times as fast as stock; unequal answers: {len(results['unequal'])}")
    print(json.dumps({"hits": results}))


def main() -> None:
    """Measure, and print a table and the JSON."""
    from bench.faults import stack

    with stack() as running:
        show(run(running.env, running.user, running.password, requests_of(captured(running))))


if __name__ == "__main__":
    main()
