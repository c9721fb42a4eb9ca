"""A PostgreSQL server of the system's packages that has hypopg, which the wheel's lacks."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from superset_ext.core import unprivileged
from superset_ext.embedded.ports import LOOPBACK, free_port

MISSING = "no hypopg on this machine; on Debian: apt-get install postgresql-15-hypopg"
_SHARES = "/usr/share/postgresql/*/extension/hypopg.control"  # where Debian puts them
_SECONDS = 60.0
# What is lost when the machine fails is nothing that a test would look for.
_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def binaries() -> Path | None:
    """The folder of the programs of a PostgreSQL that has hypopg; `None` where there is none."""
    for control in sorted(Path("/").glob(_SHARES.lstrip("/")), reverse=True):
        folder = Path("/usr/lib/postgresql") / control.parents[1].name / "bin"
        if (folder / "initdb").exists():
            return folder
    return None


@contextmanager
def server(data: Path, *options: str) -> Iterator[str]:
    """The URL of a server with its files in `data`, without a database's name; it ends with the block.

    Raises:
        RuntimeError: there is none, or it does not start.
    """
    programs = binaries()
    if programs is None:
        raise RuntimeError(MISSING)
    _initialise(programs, data)
    port = free_port()
    settings = (f"port={port}", f"listen_addresses={LOOPBACK}", "unix_socket_directories=", *_FORGETFUL, *options)
    flags = [f"--{setting}" for setting in settings]
    command = [*unprivileged.prefix(data), str(programs / "postgres"), "-D", str(data), *flags]
    with data.with_name(data.name + ".log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        url = f"postgresql://postgres@{LOOPBACK}:{port}"
        _wait(url, process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # its fast shutdown
        process.wait(60)


def _initialise(programs: Path, data: Path) -> None:
    if (data / "PG_VERSION").exists():
        return
    data.mkdir(mode=0o700, parents=True)
    command = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8",
               "--auth=trust", "--no-sync"]  # fmt: skip
    subprocess.run([*unprivileged.prefix(data), *command], check=True, capture_output=True)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            with closing(psycopg2.connect(f"{url}/postgres", connect_timeout=5)):
                return
        except psycopg2.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL with hypopg did not start: {error}") from None
            time.sleep(0.05)
