"""Sources that are probed, and the charts that depend on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from testing.probes import EMPTY, SECRET, Charts, Source, lite_run, registered
from testing.stock_app import stock_app


@pytest.fixture(scope="module")
def app(postgres: Postgres) -> Iterator[Any]:
    """Superset as stock, with the tables that it keeps databases and datasets in."""
    metadata = postgres.create_database(f"m_{uuid4().hex[:12]}")
    names = {"SECRET_KEY": SECRET, "CONTENT_SECURITY_POLICY_WARNING": False}
    with stock_app("superset_config_of_probes", SQLALCHEMY_DATABASE_URI=metadata, **names) as made:
        with made.app_context():
            from flask_appbuilder import Model
            from superset.extensions import db

            Model.metadata.create_all(db.engine)
        yield made


@pytest.fixture
def context(app: Any) -> Iterator[Any]:
    with app.app_context():
        yield app


@pytest.fixture(scope="module")
def log_url(postgres: Postgres) -> str:
    """The log database of all tests here, each of which begins with no probe."""
    url = postgres.create_database(f"l_{uuid4().hex[:12]}")
    with closing(LogDatabase(url)) as made:
        made.apply_schema()
    return url


@pytest.fixture
def log(log_url: str) -> Iterator[LogDatabase]:
    with closing(LogDatabase(log_url)) as made:
        with made.transaction() as cursor:
            cursor.execute("TRUNCATE superset_ext.cache_probe")
        yield made


@pytest.fixture(scope="module")
def source_url(postgres: Postgres) -> str:
    """A database of which each test has the schema `public` to itself."""
    return postgres.create_database(f"s_{uuid4().hex[:12]}")


@pytest.fixture
def source(context: Any, source_url: str) -> Source:
    """A PostgreSQL database with a table of two rows."""
    made = registered(source_url)
    made.run(EMPTY, "CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    return made


@pytest.fixture
def lite(context: Any, tmp_path: Path) -> Source:
    """A SQLite database with a table of two rows."""
    made = registered(f"sqlite:///{tmp_path / 'source.db'}?check_same_thread=false")
    lite_run(
        made, "CREATE TABLE t (id int, updated_at text)", "INSERT INTO t VALUES (1, '2026-01-01'), (2, '2026-01-02')"
    )
    return made


@pytest.fixture
def charts(log: LogDatabase) -> Iterator[Charts]:
    yield Charts(log)
