"""Web servers over one stack's databases, from stock to all that the package can do, and requests to each in turn.

Each server is a step: what it has beside the one before is a setting, so that what each setting brings can be measured
and compared alone.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests.utils import default_user_agent

from testing.browser import Visit, browser
from testing.programs import program
from testing.serving import Client, web

WORKERS, THREADS = 2, 4  # as `docker/entrypoint.sh` has, and where a worker's heartbeat is written
_IN_MEMORY = " --worker-tmp-dir /dev/shm" if os.access("/dev/shm", os.W_OK) else ""
STOCK = "stock"
_LOGS = {"SUPERSET_EXT_EVENT_LOG_SECONDS": "0.5"}
STEPS: Mapping[str, Mapping[str, str]] = {
    STOCK: {},
    "caches": {"SUPERSET_EXT_GRANTS": "off", "SUPERSET_EXT_EVENT_LOG_SECONDS": "0"},
    "+ logs in batches": {"SUPERSET_EXT_GRANTS": "off", **_LOGS},
    "+ grants": {"SUPERSET_EXT_GRANTS": "triggers", **_LOGS},
}
_STOCK = """
import os
from datetime import timedelta
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_EXT_DATABASE_URL"]
SQLALCHEMY_EXAMPLES_URI = os.environ["SUPERSET__SQLALCHEMY_EXAMPLES_URI"]
CELERY_CONFIG = None
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
GUEST_ROLE_NAME = "Gamma"
GUEST_TOKEN_JWT_SECRET = "the secret of guests, long enough for a key"
GUEST_TOKEN_JWT_EXP_SECONDS = 86400  # a comparison may take longer than the 5 and 15 minutes that they are valid
JWT_ACCESS_TOKEN_EXPIRES = timedelta(days=1)
FEATURE_FLAGS = {
    "ENABLE_TEMPLATE_PROCESSING": True, "DASHBOARD_RBAC": True, "CACHE_IMPERSONATION": True, "EMBEDDED_SUPERSET": True
}
_URL = os.environ["SUPERSET_EXT_REDIS_URL"] + "/11"
def FLASK_APP_MUTATOR(app):
    app.add_url_rule("/testing/given", "given", lambda: str(app.extensions["superset_ext_grants"].hooks.given))

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

    def anew(self, number: int) -> Asked:
        """The same request as one that nobody has made yet: its rows may lie in a cache, and it has no grant."""
        mark = "&" if "?" in self.path else "?"
        return Asked(f"{self.path}{mark}nobody={time.time_ns()}{number}", self.body, self.kind)


@dataclass(frozen=True)
class Response:
    """What came of a request, and after how many milliseconds."""

    ms: float
    status: int
    headers: Mapping[str, str]
    data: bytes


class Line:
    """A kept connection to one server, as one person.

    Args:
        url: the server's.
        person: the headers that say who asks.
    """

    def __init__(self, url: str, person: Mapping[str, str]) -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        self._person = person

    def ask(self, asked: Asked, encoding: str = "zstd", method: str = "POST") -> Response:
        """Send a request, and read the response to its end."""
        headers = {"Content-Type": asked.kind, "Accept-Encoding": encoding, **self._person}
        headers["User-Agent"] = default_user_agent()  # a session is of the browser that logged in
        try:
            return self._asked(asked, headers, method)
        except (http.client.HTTPException, OSError):
            self._http.close()  # it was kept for longer than the server does
            return self._asked(asked, headers, method)

    def _asked(self, asked: Asked, headers: Mapping[str, str], method: str) -> Response:
        began = time.perf_counter()
        self._http.request(method, asked.path, asked.body, dict(headers))
        answer = self._http.getresponse()
        data = answer.read()
        return Response((time.perf_counter() - began) * 1000, answer.status, dict(answer.getheaders()), data)


def cookie(client: Client) -> dict[str, str]:
    """The headers of somebody who has logged in by the page."""
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in client.http.cookies.items())}


def token(client: Client) -> dict[str, str]:
    """The headers of somebody who has logged in over the API."""
    login = {"username": client.user, "password": client.password, "provider": "db"}
    return {"Authorization": f"Bearer {client.post('/api/v1/security/login', json=login).json()['access_token']}"}


def requests_of(captured: Sequence[Mapping[str, Any]]) -> list[Asked]:
    """The requests of a browser's answers, each once."""
    asked = []
    for answer in captured:
        parts = urlsplit(answer["url"])
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if answer["method"] == "POST" and "force=true" not in path:
            asked.append(Asked(path, (answer["body"] or "").encode(), answer["ct"]))
    return list(dict.fromkeys(asked))


def captured(stack: Any) -> list[Asked]:
    """What the example dashboards ask, from a browser; or from the JSON file that HITS_REQUESTS names."""
    if file := os.environ.get("HITS_REQUESTS"):
        return requests_of(json.loads(Path(file).read_text()))
    with browser() as chromium:
        visit = Visit(chromium.new_page(viewport={"width": 1400, "height": 1000}), stack.url)
        visit.login(stack.user, stack.password)
        answers = [answer for board in visit.dashboards() for answer in visit.open(board["id"])]
    return requests_of([{"url": a.url, "method": a.method, "body": a.body, "ct": a.content_type} for a in answers])


def _upgrade(env: Mapping[str, str]) -> None:
    """Have the triggers that grants need made: servers make none."""
    own = {**env, "SUPERSET_EXT_GRANTS": "triggers"}
    subprocess.run([program("superset"), "perf", "upgrade"], env=own, check=True, capture_output=True, timeout=900)


@contextmanager
def servers(
    env: Mapping[str, str], steps: Sequence[str] = tuple(STEPS), workers: int = WORKERS
) -> Iterator[dict[str, str]]:
    """The URLs of web servers over a stack's databases, by step."""
    _upgrade(env)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        urls = {}
        for number, step in enumerate(steps):
            config = Path(folder) / f"step{number}_config.py"
            config.write_text(_STOCK if step == STOCK else _OURS)
            own = {key: value for key, value in env.items() if key not in ("SUPERSET_PORT", "SUPERSET_BIND")}
            more = {
                # A client's connection is kept; Superset's chord chart shows its nodes in the order of a set of text.
                "GUNICORN_CMD_ARGS": f"--no-control-socket --keep-alive 75{_IN_MEMORY}", "PYTHONHASHSEED": "0",
                **STEPS[step],
            }  # fmt: skip
            urls[step] = running.enter_context(web(config, own | more, workers=workers, threads=THREADS))
        yield urls
