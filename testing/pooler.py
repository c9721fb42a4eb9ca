"""PgBouncer before a server, as people run it: one program for all who connect."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2

from superset_ext.core import unprivileged
from superset_ext.embedded.ports import LOOPBACK, free_port
from superset_ext.embedded.postgres import USER, Postgres
from testing.warming import until

PATIENCE = 60.0
PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin") or shutil.which("pgbouncer")
MISSING = "pgbouncer is not installed"


class Pooler:
    """PgBouncer before a server.

    Args:
        server: where it leads.
        folder: for its files.
        mode: when it gives a connection of the server to somebody else: `session`, `transaction` or `statement`.
        settings: others of its settings.
    """

    def __init__(self, server: Postgres, folder: Path, mode: str, **settings: object) -> None:
        self._server = server
        self._folder = folder
        self.mode = mode
        self._settings: dict[str, object] = {"pool_mode": mode, **settings}
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Pooler:
        """Start it, and wait until it lets somebody in."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write()
        assert PROGRAM, MISSING
        with (self._folder / "log").open("ab") as out:
            command = [*unprivileged.prefix(self._folder), PROGRAM, str(self._folder / "ini")]
            self._process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self._folder)
        until(lambda: self._is_up(), PATIENCE)
        return self

    def stop(self) -> None:
        """End it at once, as a crash does: its connections end with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, dbname: str) -> str:
        """The URL of a database of the server behind it."""
        return self._server.url(dbname).replace(f":{self._server.port}/", f":{self.port}/")

    def order(self, command: str) -> list[tuple[Any, ...]]:
        """What its console answers to a command, such as PAUSE."""
        with closing(psycopg2.connect(self.url("pgbouncer"))) as console:
            console.autocommit = True
            with console.cursor() as cursor:
                cursor.execute(command)
                return list(cursor.fetchall()) if cursor.description else []

    def lead(self, name: str, to: str) -> None:
        """Have a name lead to another database of the server from now on."""
        ini = self._folder / "ini"
        line = f"{name} = host={LOOPBACK} port={self._server.port} dbname={to}\n"
        ini.write_text(ini.read_text().replace("[databases]\n", f"[databases]\n{line}"))
        self.order("RELOAD")
        self.order("RECONNECT")

    def _is_up(self) -> bool:
        with suppress(psycopg2.OperationalError):
            return bool(self.order("SHOW VERSION"))
        return False

    def _write(self) -> None:
        settings = {
            "listen_addr": LOOPBACK, "listen_port": self.port, "unix_socket_dir": "", "auth_type": "scram-sha-256",
            "auth_file": self._folder / "users", "admin_users": USER, "max_client_conn": 200, **self._settings,
        }  # fmt: skip
        lines = [f"{name} = {value}" for name, value in settings.items()]
        target = f"[databases]\n* = host={LOOPBACK} port={self._server.port}\n[pgbouncer]\n"
        (self._folder / "ini").write_text(target + "\n".join(lines) + "\n")
        (self._folder / "users").write_text(f'"{USER}" "{self._server.password}"\n')


@contextmanager
def pooler_before(server: Postgres, folder: Path, mode: str, **settings: object) -> Iterator[Pooler]:
    """PgBouncer before a server, until the block ends."""
    made = Pooler(server, folder, mode, **settings)
    try:
        yield made.start()
    finally:
        made.stop()
