"""Processor time of one connection of a PostgreSQL server that runs on this machine, its parallel workers included."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PARENT, _CHILDREN_USER, _CHILDREN_SYSTEM = 1, 13, 14  # places in /proc/<pid>/stat, after the name
_ASK = "SELECT pg_backend_pid(), inet_client_port()"
Clock = Callable[[], float]


def clock_of(cursor: Any) -> Clock | None:
    """Seconds of processor time so far; `None` where the server's processes cannot be seen from here.

    A server of another machine has process ids too, so the port of this very connection has to stand in the process's
    title. Parallel workers are counted by the server's main process once they have ended, which is before the statement
    has: with others' connections that end meanwhile.

    Raises:
        Exception: whatever the driver raises.
    """
    cursor.execute(_ASK)
    backend, port = cursor.fetchone()
    folder = Path(f"/proc/{backend}")
    try:
        if port is None or f"({port})" not in (folder / "cmdline").read_bytes().decode(errors="replace"):
            return None
        server = Path(f"/proc/{_fields(folder)[_PARENT]}")
        ticks = os.sysconf("SC_CLK_TCK")

        def spent() -> float:
            ended = _fields(server)
            own = int((folder / "schedstat").read_text().split()[0]) / 1e9
            return own + (int(ended[_CHILDREN_USER]) + int(ended[_CHILDREN_SYSTEM])) / ticks

        spent()
    except (OSError, ValueError, IndexError):
        return None
    return spent


def _fields(folder: Path) -> list[str]:
    return (folder / "stat").read_text().rpartition(")")[2].split()
