"""A Valkey whose wall clock a test puts forward and back, by a library that is loaded before its own."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import redis

from superset_ext.embedded.valkey import Valkey

HALF = 30.0  # seconds; what is shifted by less is not seen to be
_SOURCE = Path(__file__).with_name("clock_shim.c")


def can_shift() -> bool:
    """Whether there is a C compiler to make the library."""
    return shutil.which("gcc") is not None


def start(directory: Path) -> tuple[Valkey, Callable[[int], None]]:
    """A server that was started, and what puts its clock ahead of the machine's by so many seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    library, file = directory / "clock.so", directory / "shift"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"], check=True)
    file.write_bytes(struct.pack("l", 0))
    with patch.dict(os.environ, LD_PRELOAD=str(library), CLOCK_SHIFT=str(file)):
        server = Valkey(directory / "valkey").start()

    client = redis.Redis.from_url(server.url)

    def shift(seconds: int) -> None:
        with file.open("r+b") as opened:
            opened.write(struct.pack("l", seconds))
        while abs(_now(client) - time.time() - seconds) > HALF:  # a script may still be told what it was before
            pass

    return server, shift


def _now(client: redis.Redis) -> float:
    """The server's time as a script is told it, in seconds."""
    return float(client.eval("return redis.call('TIME')[1]", 0))  # type: ignore[arg-type]
