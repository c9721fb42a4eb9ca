"""Probes on real sources, and charts that depend on what they ask."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2

from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.errors import StoreUnavailable
from superset_ext.freshness.probe import schedule as probing
from superset_ext.freshness.probe.schedule import probe_now, run_due
from superset_ext.freshness.probe.subject import Probed
from superset_ext.settings import Probe
from testing.counted import count_now

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


SECRET = "the secret key of these tests"


PATIENCE = 120.0  # seconds; a test that waits longer has failed


@dataclass
class Source:
    """A source database that Superset knows."""

    name: str
    id: int
    url: str

    def run(self, *statements: str) -> None:
        """Run statements, each committed, and hand in what PostgreSQL counted of them."""
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for statement in statements:
                cursor.execute(statement)
            count_now(cursor)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def probe(self, **values: Any) -> Probe:
        return Probe.model_validate(
            {"database": self.name} | ({} if "dataset" in values else {"table": "public.t"}) | values
        )


def registered(url: str, extra: dict[str, Any] | None = None) -> Source:
    """Make Superset know a database."""
    from superset.extensions import db
    from superset.models.core import Database

    made = Database(database_name=f"source {uuid4().hex[:8]}", extra=json.dumps(extra or {}))
    made.set_sqlalchemy_uri(url)
    db.session.add(made)
    db.session.commit()
    return Source(made.database_name, made.id, url)


def dataset(source: Source, name: str, schema: str | None = "public", sql: str | None = None) -> int:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database

    made = SqlaTable(table_name=name, schema=schema, sql=sql, database=db.session.get(Database, source.id))
    db.session.add(made)
    db.session.commit()
    return int(made.id)


EMPTY = 'DROP SCHEMA IF EXISTS public, other, "My.Data" CASCADE; CREATE SCHEMA public'


def lite_run(source: Source, *statements: str) -> None:
    path = source.url.removeprefix("sqlite:///").split("?")[0]
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@dataclass
class Charts:
    """Who is told, and at what hour it is asked."""

    database: LogDatabase
    changes: list[Probed] = field(default_factory=list)
    broken: bool = False

    def stamp(self, probed: Probed) -> None:
        if self.broken:
            raise StoreUnavailable("Redis is away")
        self.changes.append(probed)

    def run(self, seconds: float, *probes: Probe) -> list[str]:
        """The states that the probes come to, so many seconds after the beginning."""
        return [outcome.state for outcome in self.outcomes(seconds, *probes)]

    def outcomes(self, seconds: float, *probes: Probe) -> list[probing.Outcome]:
        return run_due(self.database, probes, self.stamp, now=T0 + timedelta(seconds=seconds))

    def seen(self, probe: Probe) -> str:
        """What the probe comes to now, after a first answer."""
        return probe_now(self.database, [probe], self.stamp)[0].state

    def row(self, probe: Probe) -> dict[str, Any]:
        return self.database.rows("SELECT * FROM superset_ext.cache_probe WHERE probe = %s", (probe.key,))[0]


TABLE = ("CREATE TABLE w (id int, n int)", "INSERT INTO w VALUES (1, 1), (2, 2)")


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(psycopg2.Error):
            if value := condition():
                return value
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_refused(charts: Charts, probe: Probe, reason: str) -> bool:
    (outcome,) = charts.outcomes(0, probe)
    assert outcome.state == "failing"
    assert str(outcome.error).startswith(reason)
    return str(outcome.error).endswith("give the probe a column that grows, or sql of its own")


@contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """A server of the test's own."""
    server = Postgres(folder).start()
    try:
        yield server
    finally:
        server.stop()


def asking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "superset_ext-probe"]
