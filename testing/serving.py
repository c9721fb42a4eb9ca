"""Superset web servers of a test's own, over a stack's databases, and a client that asks them as a browser does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from superset_ext.embedded.ports import LOOPBACK
from testing.programs import program

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 300.0


@contextmanager
def process(
    command: list[str], env: Mapping[str, str], log: Path, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that ends with the block."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUPERSET", "FLASK"))}
    with log.open("ab") as out:
        started = subprocess.Popen(
            command, env={**kept, **env}, cwd=cwd, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


@contextmanager
def web(
    config: Path, env: Mapping[str, str], *, threads: int = 8, workers: int = 1, real: bool = False
) -> Iterator[str]:
    """A gunicorn with Superset configured by the file `config`; yields its URL. For `real` see `programs.program`."""
    command = [
        program("gunicorn", real=real), "-w", str(workers), "-k", "gthread", "--threads", str(threads),
        "--timeout", "120", "--graceful-timeout", "3", "-b", f"{LOOPBACK}:0", "superset.app:create_app()",
    ]  # fmt: skip
    full = {**env, "SUPERSET_CONFIG_PATH": str(config), "PYTHONPATH": str(ROOT)}
    log = config.with_suffix(".log")
    with process(command, full, log) as server:
        yield _await_health(server, log)


def _await_health(server: subprocess.Popen[bytes], log: Path) -> str:
    """The URL that the server says it listens at, once it is answered there."""
    deadline, pattern = time.monotonic() + START_SECONDS, re.compile(r"Listening at: (http://\S+) \(")
    while not (url := pattern.search(log.read_text())) or not _healthy(url[1]):
        if server.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the web server did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)
    return url[1]


def _healthy(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{url}/health", timeout=30).ok
    return False


@contextmanager
def worker(
    config: Path,
    env: Mapping[str, str],
    log: Path,
    queues: str | None = None,
    name: str = "celery",
    *,
    real: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker with two children, ready to take tasks of some queues, by default of those in its config."""
    command = [
        program("celery", real=real), "--app=superset.tasks.celery_app:app", "worker", "--pool=prefork", "-c", "2",
        "-O", "fair", "--loglevel", "info", "--hostname", f"{name}@%h", *(("-Q", queues) if queues else ()),
    ]  # fmt: skip
    full = {**env, "SUPERSET_CONFIG_PATH": str(config), "PYTHONPATH": str(ROOT)}
    with process(command, full, log) as started:
        deadline = time.monotonic() + START_SECONDS
        while "ready." not in (log.read_text() if log.exists() else ""):
            if started.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the worker did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield started


@dataclass
class Client:
    """A user with a session and a CSRF token, as Superset's own pages have."""

    base: str
    user: str
    password: str
    http: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        """Log in with the form, as a browser does: the old chart endpoints take no JWT."""
        self.http.headers["Connection"] = "close"  # one that is kept may be closed by the server while it is used again
        login = {"username": self.user, "password": self.password, "provider": "db"}
        token = self.post("/api/v1/security/login", json=login).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        form = {"username": self.user, "password": self.password, "csrf_token": self._csrf_token(bearer)}
        self.post("/login/", data=form, headers={"Referer": self.base}).raise_for_status()
        self.http.headers.update({"X-CSRFToken": self._csrf_token({}), "Referer": self.base})

    def _csrf_token(self, headers: Mapping[str, str]) -> str:
        answer = self.get("/api/v1/security/csrf_token/", headers=headers)
        answer.raise_for_status()
        return str(answer.json()["result"])

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.http.get(f"{self.base}{path}", timeout=120, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.http.post(f"{self.base}{path}", timeout=120, **options)

    def ask(self, url: str, body: str | None, content_type: str) -> requests.Response:
        """Send a captured chart request again, to this server."""
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return self.post(path, data=(body or "").encode(), headers={"Content-Type": content_type})


def exact(text: str) -> Any:
    """JSON with its numbers as they are written, so that equal means equal to the byte."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
