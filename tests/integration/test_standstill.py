"""Reads of a process that stands still for longer than Redis may take: that is not the fault of Redis."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superset_ext.cache.query import running
from superset_ext.cache.redis.connection import TimedSocket
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Scope
from testing.regions import heard, make_region

ROOT = Path(__file__).parents[2]
READS = 12


def test_a_gevent_worker_reads_and_shares_as_others_do(fresh_valkey: Callable[..., Valkey]) -> None:
    """Intent: while a driver in C holds up all greenlets, every read hits, and a miss still runs one query.

    gevent is none of the package's requirements; the test runs where it is installed.
    """
    if importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed; pip install gevent, in a virtual environment of its own")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "testing.gevent_reads", fresh_valkey().url]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts == {"hits": READS, "shared": READS - 1, "ran": ["cold"], "failed": 0}


def test_a_thread_that_holds_up_all_others(fresh_valkey: Callable[..., Valkey]) -> None:
    """Intent: threads stand still too, while one of them stays in C with the interpreter's lock: 12 hits of 12."""
    limits: dict[str, Any] = {"CONNECT_TIMEOUT_MS": 100, "READ_TIMEOUT_MS": 50, "TOTAL_TIMEOUT_MS": 200}
    cache, held = make_region(fresh_valkey().url, **limits), threading.Event()
    usleep = ctypes.PyDLL(None).usleep
    with running(Scope(dataset_id=1, database_id=1)):
        cache.get("k")
        assert cache.set("k", {"query": "SELECT 1", "value": "x" * 500_000})

    def hold() -> None:
        while not held.is_set():
            usleep(400_000)
            time.sleep(0.0005)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        with heard() as events:
            for _ in range(READS):
                cache.get("k")
    finally:
        held.set()
        holder.join()
    assert [event.result for event in events] == [None] * READS


class Late:
    """A socket as a greenlet sees it whose loop stood still: its wait times out late, and the answer lies there."""

    def __init__(self, sock: socket.socket, late: float) -> None:
        self._sock = sock
        self._late = late

    def recv(self, size: int) -> bytes:
        if self._late:
            time.sleep(self._late)
            self._late = 0.0
            raise TimeoutError("timed out")
        return self._sock.recv(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def test_an_answer_that_came_meanwhile_is_read(pair: tuple[socket.socket, socket.socket]) -> None:
    """Intent: a wait that ended late looks once more, and what follows has its time."""
    ours, theirs = pair
    sock = TimedSocket(Late(ours, 0.3), 0.05, time.monotonic() + 0.1)  # type: ignore[arg-type]
    theirs.sendall(b"answer")
    assert sock.recv(100) == b"answer"
    theirs.sendall(b"more")
    assert sock.recv(100) == b"more"


def test_a_server_that_is_silent_fails_all_the_same(pair: tuple[socket.socket, socket.socket]) -> None:
    """Intent: nobody waits for it a second time, whether the process stood still or not."""
    ours, _theirs = pair
    for late in (0.3, 0.0):
        sock = TimedSocket(Late(ours, late), 0.05, time.monotonic() + 0.1)  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            sock.recv(100)
