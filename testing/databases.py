"""A PostgreSQL server for tests, and databases on it that are copied from one that has what they need."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded import postgres as embedded
from superset_ext.embedded.postgres import Postgres
from superset_ext.monitor.rollup.views import apply_views

# What is lost when the machine fails is nothing that a test would look for.
_FORGETFUL = "\nfsync = off\nfull_page_writes = off\nsynchronous_commit = off\nmax_wal_size = 512MB\n"
_MEMORY = Path("/dev/shm")
_PREFIX = "superset_ext_tests_of_"  # and the number of their process
_LEAST_FREE = 6 << 30  # bytes; a session of three processes takes about 2 GiB
_SERVER = ("initdb", "postgres")


def forgetful(data_dir: Path) -> None:
    """Let a server whose files are made wait for no disk."""
    with (data_dir / "postgresql.conf").open("a") as config:
        config.write(_FORGETFUL)


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory where there is much of it: a database is copied there in a quarter of the time. `otherwise`
    where there is not."""
    if not (_MEMORY.is_dir() and min(shutil.disk_usage(_MEMORY).free, _free_memory()) > _LEAST_FREE):
        yield otherwise
        return
    _remove_what_is_left()
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}_", dir=_MEMORY) as folder:
        yield Path(folder)


def _remove_what_is_left() -> None:
    """Take away the folders of processes that were killed, since nobody else frees that memory."""
    for folder in _MEMORY.glob(f"{_PREFIX}*"):
        process = folder.name.removeprefix(_PREFIX).partition("_")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _free_memory() -> int:
    """Bytes that the machine, and the container where this is one, has left."""
    free: int = psutil.virtual_memory().available
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        return min(free, int(limit) - int(used))
    except (OSError, ValueError):
        return free


def another_version() -> str | None:
    """Have all servers that this process starts be of the programs in the folder `TEST_POSTGRES`, where that is set.

    What speaks to a server (`psql`, `pg_dump`, `pg_basebackup`) stays the wheel's: it takes older servers too, and a
    folder need have no more than `initdb` and `postgres`.

    Returns:
        What these say of their version; `None` where the wheel's are used.
    """
    folder = os.environ.get("TEST_POSTGRES")
    if not folder:
        return None
    version = subprocess.run([Path(folder) / "postgres", "--version"], capture_output=True, text=True, check=True)
    wheel = embedded.binary
    embedded.binary = lambda name: Path(folder) / name if name in _SERVER else wheel(name)
    setattr(Postgres, "_refuse_other_versions", lambda _: None)  # noqa: B010 - mypy takes no method that is replaced
    return version.stdout.strip()


@contextmanager
def postgres_in(folder: Path, **settings: str) -> Iterator[Postgres]:
    """A server with settings, and with its files in a folder, which nobody needs afterwards."""
    server = Postgres(folder / "data")
    server.initialise()
    forgetful(server.data_dir)
    with (server.data_dir / "postgresql.conf").open("a") as config:
        config.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Databases:
    """New databases on a server: empty ones, and copies of templates, each of which is made when it is first asked."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._templates: dict[str, str] = {}

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The URL of a new database, which goes with the block."""
        with self._created("template1") as url:
            yield url

    @contextmanager
    def log(self) -> Iterator[str]:
        """The same, with the schema."""
        with self.copy("log", _apply_schema) as url:
            yield url

    @contextmanager
    def views(self) -> Iterator[str]:
        """The same, with the schema and the views."""
        with self.copy("views", _apply_views) as url:
            yield url

    @contextmanager
    def copy(self, name: str, fill: Callable[[str], None]) -> Iterator[str]:
        """The same, with what `fill` puts into the template `name`, whose URL it is given."""
        if name not in self._templates:
            template = f"template_{name}_{uuid.uuid4().hex[:8]}"
            fill(self._server.create_database(template))
            self._templates[name] = template
        with self._created(self._templates[name]) as url:
            yield url

    @contextmanager
    def _created(self, template: str) -> Iterator[str]:
        name = f"t_{uuid.uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}{self._strategy()}")
        try:
            yield self._server.url(name)
        finally:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _strategy(self) -> str:
        """How files are copied: whole, in half the time of a copy by way of the log; before 15 there is no other."""
        version = int((self._server.data_dir / "PG_VERSION").read_text())
        return " STRATEGY file_copy" if version >= 15 else ""

    def _run(self, statement: str) -> None:
        with closing(psycopg2.connect(self._server.url(), connect_timeout=60)) as connection:
            connection.autocommit = True
            cursor: Any = connection.cursor()
            cursor.execute(statement)


def _apply_schema(url: str) -> None:
    with closing(LogDatabase(url)) as database:
        database.apply_schema()


def _apply_views(url: str) -> None:
    with closing(LogDatabase(url)) as database:
        database.apply_schema()
        apply_views(database)


def run_each(url: str, *statements: str) -> Any:
    """Run statements over one connection, each committed by itself; the first value of the last, where it has one."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None
