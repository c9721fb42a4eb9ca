"""What people write in SQL Lab reaches the charts, whatever way it takes; the database itself says what is right."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from sqlalchemy import event

from superset_ext.freshness.change import Change, SourceTable, changed
from superset_ext.freshness.watch import service
from superset_ext.freshness.watch.watched import Name
from superset_ext.host import databases
from superset_ext.host import same_source as siblings
from superset_ext.host.same_source import _place, same_source
from superset_ext.sqltables.table import Table
from testing.edited import Sources, asked, editing, heard, run
from testing.in_process import InProcess

pytestmark = pytest.mark.thorough

SHAPES = """
CREATE TABLE base (owner text, v int PRIMARY KEY);
CREATE TABLE child (owner text, v int REFERENCES base ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE other (owner text, v int);
CREATE TABLE quiet (owner text, v int);
CREATE VIEW through AS SELECT owner, v FROM base;
CREATE VIEW totals AS SELECT owner, max(v) AS v FROM other GROUP BY owner;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO other VALUES (new.owner, new.v); RETURN new; END';
CREATE TRIGGER instead INSTEAD OF INSERT ON totals FOR EACH ROW EXECUTE FUNCTION instead();
CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS 'BEGIN UPDATE other SET v = v + 1; RETURN 1; END';
INSERT INTO base SELECT 'b', n FROM generate_series(1, 5) n;
INSERT INTO child SELECT 'c', n FROM generate_series(1, 5) n;
INSERT INTO other VALUES ('o', 1); INSERT INTO quiet VALUES ('q', 1);
CREATE SCHEMA postgres;  -- which is the first on the search path from now on
"""
NAMES = ("base", "child", "other", "quiet")
KNOWN = [
    "DELETE FROM through WHERE v = 1",
    "UPDATE base SET v = 10 WHERE v = 2",
    "INSERT INTO totals VALUES ('t', 7)",
    "CREATE TEMP TABLE t AS SELECT 1 AS v; INSERT INTO t VALUES (2); INSERT INTO other SELECT 't', v FROM t",
    "SELECT 1; {{ 'UPDATE other SET v = 2' }}",
    "SELECT '{{ \"'; UPDATE base SET owner = 'jinja'; SELECT '\" }}'",
]
UNKNOWN = [
    "SELECT set_config('search_path', 'public', false); UPDATE base SET owner = 'x'",
    "CREATE TEMP TABLE base (owner text, v int); ALTER TABLE base RENAME TO away; UPDATE base SET owner = 'y'",
    "UPDATE base SET owner = 'shadowed'; CREATE TABLE postgres.base AS SELECT 'new' AS owner, 1 AS v",
    "DO $$ BEGIN UPDATE base SET owner = 'do'; END $$",
    "INSERT INTO quiet SELECT 'w', writes()",
    "CREATE TABLE fresh (v int); SELECT writes()",
    "SET LOCAL search_path = public; UPDATE other SET owner = 'local'",
]


@dataclass
class World:
    """A source with charts on its tables, and SQL Lab."""

    app: Any
    client: Any
    url: str
    database: int
    datasets: dict[str, int]
    sources: Sources

    def lab(self, sql: str, schema: str | None = None) -> None:
        body = {"database_id": self.database, "sql": sql, "schema": schema, "client_id": uuid.uuid4().hex[:11],
                "runAsync": False, "queryLimit": 10}  # fmt: skip
        answer = self.client.post("/api/v1/sqllab/execute/", json=body)
        assert answer.status_code == 200, answer.json

    def right(self, name: str) -> list[Any]:
        return run(self.url, f"SELECT owner, v FROM public.{name} ORDER BY owner, v")

    def warm(self) -> None:
        for dataset in self.datasets.values():
            asked(self.client, dataset)
            assert asked(self.client, dataset)[1]


@pytest.fixture
def world(superset_app: InProcess, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    from superset import feature_flag_manager

    monkeypatch.setitem(feature_flag_manager._feature_flags, "ENABLE_TEMPLATE_PROCESSING", True)
    run(database_url, SHAPES)
    sources = Sources()
    with superset_app.app.app_context():
        database = sources.database("written", database_url)
        datasets = {name: sources.dataset(database, name) for name in NAMES}
    yield World(superset_app.app, editing(superset_app), database_url, database, datasets, sources)
    with superset_app.app.app_context():
        sources.remove()


@pytest.mark.parametrize("sql", KNOWN + UNKNOWN)
def test_no_chart_is_older_than_what_was_written(world: World, sql: str) -> None:
    """Intent: after the script has run, each chart shows what the database has; where it is known, the rest stays."""
    world.warm()
    world.lab(sql)
    answers = {name: asked(world.client, dataset) for name, dataset in world.datasets.items()}
    assert {name: rows for name, (rows, _) in answers.items()} == {name: world.right(name) for name in NAMES}
    assert answers["quiet"][1] == (sql in KNOWN)


def test_a_new_table_takes_a_name_over(world: World) -> None:
    """Intent: a dataset on a search path shows the table that its name means now."""
    with world.app.app_context():
        dataset = world.sources.dataset(world.database, "bare", "SELECT owner, v FROM other", schema=None)
    asked(world.client, dataset)
    assert asked(world.client, dataset) == ([("o", 1)], True)
    world.lab("CREATE TABLE postgres.other AS SELECT 'shadow' AS owner, 9 AS v")
    assert asked(world.client, dataset)[0] == [("shadow", 9)]


def test_two_databases_over_one_source(world: World) -> None:
    """Intent: a change told of the one concerns the other; an edit of the one in Superset does not."""
    with world.app.app_context():
        twin = world.sources.database("twin", world.url.replace("127.0.0.1", "localhost"))
        dataset = world.sources.dataset(twin, "other")
        assert same_source(world.database) == {world.database, twin}
    asked(world.client, dataset)
    assert asked(world.client, dataset)[1]
    world.lab("UPDATE other SET v = 5", "public")
    assert asked(world.client, dataset) == ([("o", 5)], False)
    asked(world.client, world.datasets["other"])
    run(world.url, "UPDATE other SET v = 6")
    tell(world, tables=(SourceTable(twin, Table("public", "other")),))
    assert asked(world.client, world.datasets["other"]) == ([("o", 6)], False)
    asked(world.client, dataset)
    tell(world, databases=(world.database,))
    assert not asked(world.client, dataset)[1]
    asked(world.client, world.datasets["other"])
    with heard() as changes:
        edited = world.client.put(f"/api/v1/database/{twin}", json={"cache_timeout": 77})
    assert edited.status_code == 200 and [list(change.databases) for change in changes] == [[twin]]
    assert asked(world.client, world.datasets["other"])[1]


def test_a_repeated_stamp_asks_superset_nothing(world: World) -> None:
    """Intent: a watch repeats stamps every 50 ms; only a change of its own looks for databases that are new."""
    from superset import db

    change = Change("postgresql", "data_update", tables=(SourceTable(world.database, Table("public", "other")),))
    with world.app.app_context(), counted(db.engine) as asked_for:
        changed(change)
        assert len(asked_for) == 1
        for _ in range(3):
            changed(change, logged=False)
        assert len(asked_for) == 1
    with world.app.app_context():
        twin = world.sources.database("twin", world.url.replace("127.0.0.1", "localhost"))
        dataset = world.sources.dataset(twin, "other")
    asked(world.client, dataset)
    assert asked(world.client, dataset)[1]
    with world.app.app_context():
        changed(change)
    assert not asked(world.client, dataset)[1]


def test_siblings_while_superset_s_metadata_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: what was known of them counts until it can be asked again, for a change of its own too."""
    with world.app.app_context():
        twin = world.sources.database("twin", world.url.replace("127.0.0.1", "localhost"))
        known = same_source(world.database)

        def away(_engine: Any) -> Any:
            raise OSError("away")

        monkeypatch.setattr("superset_ext.host.same_source._asked", away)
        assert same_source(world.database) == known == {world.database, twin}


def test_a_change_while_superset_s_metadata_is_locked(
    world: World, superset_app: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a migration, a full pool or a silent network holds no change up: it is told with what is known, and of a
    table whose database cannot be asked everything of it is dropped."""
    monkeypatch.setattr(databases, "METADATA_SECONDS", 0.2)
    monkeypatch.setattr(siblings, "METADATA_SECONDS", 0.2)
    table = SourceTable(world.database, Table("public", "other"))
    with world.app.app_context():
        same_source(world.database)
        with closing(psycopg2.connect(superset_app.url)) as locking:
            locking.cursor().execute(
                "SET idle_in_transaction_session_timeout = '2min'; LOCK TABLE dbs IN ACCESS EXCLUSIVE MODE"
            )
            stamped = [changed(Change(source, "data_update", tables=(table,))) for source in ("postgresql", "webhook")]
    assert f"table:{world.database}:public.other" in stamped[0].tags
    assert f"database:{world.database}" in stamped[1].tags


def test_a_listener_speaks_for_all_databases_over_its_source(world: World) -> None:
    """Intent: whatever its stamps concern is distrusted when it is not heard, under each of the source's names."""
    with world.app.app_context():
        twin = world.sources.database("twin", world.url.replace("127.0.0.1", "localhost"))
        same_source(world.database)
        tags = service._tags(world.database, [Name("public", "other")])
    assert {f"table:{number}:public.other" for number in (world.database, twin)} <= tags


@contextmanager
def counted(engine: Any) -> Iterator[list[str]]:
    """The statements over Superset's databases that an engine runs within this."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM dbs" in statement:
            statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def tell(world: World, **named: Any) -> None:
    with world.app.app_context():
        changed(Change("webhook", "data_update", **named))


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("postgresql://a@host/x", "postgresql+psycopg2://b@HOST:5432/x?sslmode=require", True),
        ("postgresql://a@host/x", "postgresql://a@host/y", False),
        ("postgresql://a@host/x", "postgresql://a@host:5433/x", False),
        ("postgresql:///x", "postgresql://localhost/x", True),
        ("postgresql://a@/x?host=h1:5432&host=h2:5432", "postgresql://a@h2/x", True),
        ("mysql://a@host/x", "mysql+mysqldb://a@host/y", True),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/b.db", False),
        ("trino://a@host/hive/one", "trino://a@host/hive/two", True),
        ("trino://a@host/hive", "trino://a@host/other", False),
        ("postgresql://a@host/x", "mysql://a@host/x", False),
    ],
)
def test_which_urls_are_one_source(one: str, other: str, is_one: bool) -> None:
    """Intent: user, driver and options are no part of a source; the catalog is, where tables are named without it."""
    places = [_place(uri, None) for uri in (one, other)]
    assert places[0] is not None and places[1] is not None
    assert places[0].is_one_with(places[1]) == is_one
