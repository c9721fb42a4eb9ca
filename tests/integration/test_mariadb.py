"""What the package writes to a metadata database on MariaDB, and what it tells of it by itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, create_engine
from sqlalchemy.engine import Engine

from superset_ext.embedded.valkey import Valkey
from superset_ext.grants.redis_stamps import RedisStamps
from superset_ext.host import event_rows
from superset_ext.host.event_rows import Event, write
from testing.databases import quick_folder
from testing.mariadb import MariaDB, mariadb_in
from testing.regions import chart_region

LOGS = Table("logs", MetaData(), Column("id", Integer, primary_key=True), Column("action", Text), Column("json", Text),
             Column("user_id", Integer), Column("dttm", DateTime))  # fmt: skip


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A MariaDB server."""
    with quick_folder(tmp_path_factory.mktemp("mariadb")) as folder, mariadb_in(folder) as server:
        yield server


@pytest.fixture
def database(mariadb: MariaDB) -> str:
    """The name of a new database."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    mariadb.create_database(name)
    return name


@pytest.fixture(params=["mysql", "mariadb"])
def engine(mariadb: MariaDB, database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine of a database with a table of `logs`, under either name of this kind of server."""
    monkeypatch.setattr(event_rows, "_table", lambda: LOGS)
    made: Engine = create_engine(mariadb.url(database, request.param))
    LOGS.metadata.create_all(made)
    return made


def event(engine: Engine, action: str, user_id: int | None = 1) -> Event:
    moment = datetime(2026, 1, 1, 12, 0, 0, 654_321)  # MySQL keeps no part of a second
    row = {"action": action, "json": '{"title": "Ünïcode 😀"}', "user_id": user_id, "dttm": moment}
    return Event(engine, [row], 2)


def actions(mariadb: MariaDB, database: str) -> list[str]:
    return [action for (action,) in mariadb.run("SELECT action FROM logs ORDER BY id", database)]


def test_rows_whose_commit_was_in_doubt_are_written_once(engine: Engine, mariadb: MariaDB, database: str) -> None:
    """Intent: each event is one row, also where the time that was written is not the one that is read."""
    written, lost = event(engine, "written"), event(engine, "lost")
    assert write([written]) == []
    written.doubt, lost.doubt = object(), object()
    assert write([written, lost]) == []
    assert actions(mariadb, database) == ["written", "lost"]


def test_a_connection_that_the_server_has_closed_costs_no_row(engine: Engine, mariadb: MariaDB, database: str) -> None:
    """Intent: after an idle night, as after KILL, the next batch is written all the same, and once."""
    from superset.utils.core import pessimistic_connection_handling

    pessimistic_connection_handling(engine)
    assert write([event(engine, "before")]) == []
    for (number,) in mariadb.run(f"SELECT id FROM information_schema.processlist WHERE db = '{database}'"):
        mariadb.run(f"KILL {number}")
    assert write([event(engine, "after")]) == []
    assert actions(mariadb, database) == ["before", "after"]


def test_the_row_of_somebody_who_was_deleted_is_kept(engine: Engine, mariadb: MariaDB, database: str) -> None:
    """Intent: a row waits while its user goes; it is written without them, and the others with theirs."""
    mariadb.run("CREATE TABLE ab_user (id int PRIMARY KEY)", database)
    mariadb.run("INSERT INTO ab_user VALUES (1)", database)
    mariadb.run("ALTER TABLE logs ADD FOREIGN KEY (user_id) REFERENCES ab_user (id)", database)
    assert write([event(engine, "theirs"), event(engine, "gone", 2)]) == []
    assert mariadb.run("SELECT action, user_id FROM logs ORDER BY id", database) == [("theirs", 1), ("gone", None)]


def test_stamps_end_a_mark_with_each_write_and_with_nothing_else(
    engine: Engine, mariadb: MariaDB, database: str, valkey: Valkey
) -> None:
    """Intent: `SUPERSET_EXT_GRANTS=stamps` hears of writes in the words of this driver, and takes no log-in for one."""
    columns = "id int PRIMARY KEY, active int, last_login datetime, login_count int"
    mariadb.run(f"CREATE TABLE ab_user ({columns})", database)
    mariadb.run("INSERT INTO ab_user VALUES (1, 1, NULL, 0)", database)
    stamps = RedisStamps(chart_region(valkey.url))
    stamps.install(engine)
    mark = stamps.now()
    assert mark is not None
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM ab_user")
        connection.exec_driver_sql("UPDATE ab_user SET login_count=%s WHERE ab_user.id = %s", (1, 1))
        connection.execute(LOGS.insert(), [{"action": "log-in"}])
    assert stamps.holds(mark)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ab_user SET active=%s WHERE ab_user.id = %s", (0, 1))
        assert stamps.now() is None, "nothing is granted while somebody writes"
    assert not stamps.holds(mark) and stamps.now() is not None
