"""A MariaDB server for tests, where one is installed, and what Superset needs to keep its metadata on it.

Superset 6.1 is made for MySQL, which has no wheel and no Debian package. MariaDB has what matters here and differs from
PostgreSQL: transactions that see what was there when they began, whole seconds, names that are compared without case.
"""

from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.ports import LOOPBACK, free_port

PROGRAMS = ("mariadbd", "mariadb-install-db")
START_SECONDS = 120.0
# SQLAlchemy 1.4 takes a server of MariaDB's own version for one with sequences, which Flask-AppBuilder then makes in
# words that MariaDB refuses. So the server says that it is MySQL 5.7, and OFFSET, a word of MariaDB's alone, is quoted.
AS_MYSQL = "--version=5.7.19-log"
CONFIG = """
from sqlalchemy.dialects.mysql import base, reserved_words
import pymysql
for _name in ("RESERVED_WORDS_MYSQL", "RESERVED_WORDS_MARIADB"):
    setattr(base, _name, frozenset(getattr(reserved_words, _name) | {"offset"}))
base.MySQLIdentifierPreparer.reserved_words = base.RESERVED_WORDS_MYSQL
base.MariaDBIdentifierPreparer.reserved_words = base.RESERVED_WORDS_MARIADB
pymysql.install_as_MySQLdb()
"""


@dataclass(frozen=True)
class MariaDB:
    """A server that runs, and its administrator's way in."""

    port: int
    user: str

    def url(self, database: str, name: str = "mysql") -> str:
        """The URL of a database for SQLAlchemy, under either of its names of this kind of server."""
        return f"{name}+pymysql://{self.user}@{LOOPBACK}:{self.port}/{database}?charset=utf8mb4"

    def run(self, sql: str, database: str | None = None) -> list[Any]:
        """Run a statement and commit; its rows."""
        import pymysql

        place = {"host": LOOPBACK, "port": self.port, "user": self.user}
        connection = pymysql.connect(**place, database=database, autocommit=True)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def create_database(self, name: str) -> str:
        """The URL of a new, empty database."""
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self.url(name)


@contextmanager
def mariadb_in(folder: Path, *options: str) -> Iterator[MariaDB]:
    """A server with its files in a folder, for as long as the block lasts; the test is skipped where there is none.

    Args:
        options: of `mariadbd`, such as `AS_MYSQL`.
    """
    pytest.importorskip("pymysql")
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{missing[0]} is not on PATH; Debian has it in mariadb-server")
    data, user, log = folder / "data", getpass.getuser(), folder / "mariadb.log"
    own = ["--no-defaults", f"--datadir={data}", f"--user={user}"]
    with log.open("wb") as out:
        install = ["mariadb-install-db", *own, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, stdout=out, stderr=out, check=True)
        port = free_port()
        # What is lost when the machine fails is nothing that a test would look for.
        hasty = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-log-bin"]
        place = [f"--port={port}", f"--bind-address={LOOPBACK}", f"--socket={folder / 'socket'}"]
        server = subprocess.Popen(["mariadbd", *own, *place, *hasty, *options], stdout=out, stderr=out)
    try:
        made = MariaDB(port, "root")
        _await_answer(made, server, log)
        yield made
    finally:
        server.terminate()
        server.wait()


def _await_answer(made: MariaDB, server: subprocess.Popen[bytes], log: Path) -> None:
    import pymysql

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            made.run("SELECT 1")
            return
        except pymysql.err.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"MariaDB did not start:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.05)
