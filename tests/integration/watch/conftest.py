"""Sources that are watched."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from superset_ext.embedded.postgres import Postgres
from testing.in_process import InProcess
from testing.watches import TITLE, connected, run


@pytest.fixture
def source(database_url: str) -> Iterator[Any]:
    """A connection to a source with a table."""
    with connected(database_url) as connection:
        run(connection, "CREATE TABLE sales (id int PRIMARY KEY, n int); INSERT INTO sales VALUES (1, 1)")
        yield connection


@pytest.fixture
def second(database_url: str) -> Iterator[Any]:
    """Another connection to it."""
    with connected(database_url) as connection:
        yield connection


@pytest.fixture
def role(source: Any, postgres: Postgres, database_url: str) -> Iterator[Callable[..., Any]]:
    """Makes a role without rights, and connects as it."""
    made: list[str] = []
    open_: list[Any] = []

    def make(*rights: str) -> Any:
        name = f"r_{uuid.uuid4().hex[:8]}"
        run(source, f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
        for right in rights:
            run(source, f"GRANT {right} TO {name}")
        made.append(name)
        connection = psycopg2.connect(database_url, user=name, password="x")
        connection.autocommit = True
        open_.append(connection)
        return connection

    yield make
    for connection in open_:
        connection.close()
    for name in made:
        run(source, f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., Postgres]]:
    """Makes servers of the test's own, with settings."""
    made: list[Postgres] = []

    def make(name: str = "own", **settings: str) -> Postgres:
        one = Postgres(tmp_path / name)
        one.initialise()
        with (tmp_path / name / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        made.append(one)
        return one.start()

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def warehouse(superset_app: InProcess, source: Any, database_url: str) -> Iterator[Callable[[str], str]]:
    """A function that makes the source a database of Superset's, as the role in a URL; it returns the database's id."""
    number = ""

    def make(url: str) -> str:
        nonlocal number
        from superset.extensions import db
        from superset.models.core import Database

        with superset_app.app.app_context():
            made = Database(database_name=TITLE)
            made.set_sqlalchemy_uri(url)
            db.session.add(made)
            db.session.commit()
            number = str(made.id)
        return number

    yield make
    superset_app.rows("DELETE FROM superset_ext.cache_watch")
    superset_app.rows("DELETE FROM public.dbs WHERE id = %s", (number,))
