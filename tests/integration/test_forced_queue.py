"""Forced refreshes that wait for a free thread of gunicorn."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from superset_ext.embedded.ports import free_port
from superset_ext.embedded.valkey import Valkey
from testing.programs import program
from testing.regions import client_of
from testing.warming import until

ROOT = Path(__file__).parents[2]
CLICKS = 24


@pytest.fixture
def server(fresh_valkey: Callable[..., Valkey]) -> Valkey:
    return fresh_valkey()


@pytest.fixture
def page(server: Valkey, tmp_path: Path) -> Iterator[str]:
    """Two processes of four threads each."""
    address = f"127.0.0.1:{free_port()}"
    command = [program("gunicorn"), "--bind", address, "--worker-class", "gthread", "--workers", "2", "--threads", "4",
               "--timeout", "600", "--no-control-socket", "testing.forced_app:app"]  # fmt: skip
    with (tmp_path / "gunicorn.log").open("wb") as log:
        env = os.environ | {"FORCED_REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    yield f"http://{address}/"
    process.terminate()
    process.wait()


def answers(page: str) -> bool:
    try:
        return bool(asked(page))
    except OSError:
        return False


def asked(page: str) -> str:
    with urllib.request.urlopen(page, timeout=600) as reply:
        return str(reply.read().decode())


def test_many_clicks_at_once_run_at_most_two_queries(page: str, server: Valkey) -> None:
    """Intent: whoever clicked while a query was under way takes its answer, also if a thread was free only later. One
    who clicks after that gets what is true then.
    """
    until(lambda: answers(page))
    client = client_of(server.url)
    before = int(client.get("queries") or 0)
    with ThreadPoolExecutor(CLICKS) as clicks:
        list(clicks.map(lambda _: asked(page), range(CLICKS)))
    ran = int(client.get("queries") or 0) - before
    assert 1 <= ran <= 2
    assert asked(page) == str(before + ran + 1)
