"""Superset's `logs` in batches: connections that are lost before a batch, within it and at its commit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, create_engine, event
from sqlalchemy.engine import Engine

from superset_ext.embedded.postgres import Postgres
from superset_ext.host import event_engine, event_rows
from superset_ext.host.event_rows import Event, write

END = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
LOGS = Table("logs", MetaData(), Column("id", Integer, primary_key=True), Column("action", Text), Column("json", Text),
             Column("user_id", Integer), Column("dttm", DateTime))  # fmt: skip


@pytest.fixture
def url(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a table of `logs`."""
    monkeypatch.setattr(event_rows, "_table", lambda: LOGS)
    monkeypatch.setattr(event_rows, "_tell_of_refusal", lambda count, error: pytest.fail(f"{count} wait: {error}"))
    address = postgres.create_database(f"lost_{uuid.uuid4().hex[:8]}")
    LOGS.metadata.create_all(create_engine(address))
    return address


@contextmanager
def superset_engine(url: str, **options: Any) -> Iterator[tuple[Engine, list[str]]]:
    """An engine as Superset's, and the statements that it sends."""
    from superset.utils.core import pessimistic_connection_handling

    engine = create_engine(url, **options)
    pessimistic_connection_handling(engine)
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2].split(" ")[0]))
    yield engine, sent
    engine.dispose()


def rows(engine: Engine, *actions: str) -> list[Event]:
    """An event for each of these actions."""
    more = {"json": "{}", "user_id": 1}
    return [Event(engine, [{"action": action, **more, "dttm": datetime.utcnow()}], 2) for action in actions]


def there(url: str) -> list[str]:
    """The actions in the table."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT action FROM logs ORDER BY id")
        return [action for (action,) in cursor.fetchall()]


def close_all(url: str) -> None:
    """Have the server close all other connections of the database, as after an idle night, and be gone."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(END, (connection.info.backend_pid,))


def test_a_batch_is_one_statement(url: str) -> None:
    """Intent: of nobody is it asked whether the connection lives; listeners of the engine hear of each statement, as
    Superset's own sessions go on asking."""
    with superset_engine(url) as (engine, sent):
        assert write(rows(engine, "first")) == write(rows(engine, "second", "third")) == []
        assert sent == ["INSERT"] * 2
        engine.connect().close()
        assert sent[2:] == ["SELECT"]
    assert there(url) == ["first", "second", "third"]


def test_where_listeners_are_kept_otherwise_it_is_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a SQLAlchemy whose listeners cannot be copied costs a question, and no row."""
    monkeypatch.setattr(event_engine, "copy", lambda _: object())
    with superset_engine(url) as (engine, sent):
        assert write(rows(engine, "asked")) == [] and sent == ["SELECT", "INSERT"]
    assert there(url) == ["asked"]


@pytest.mark.parametrize("options", [{}, {"isolation_level": "AUTOCOMMIT"}])
def test_connections_that_were_closed_while_idle_cost_nobody_anything(url: str, options: dict[str, Any]) -> None:
    """Intent: the batch after it is in the table at once, each row once, and nothing is said: none of it waits. All
    connections that the pool has were closed."""
    with superset_engine(url, **options) as (engine, _):
        idle = [engine.connect() for _ in range(3)]
        for connection in idle:
            connection.close()
        close_all(url)
        assert write(rows(engine, "after")) == []
        assert write(rows(engine, "and again")) == []
    assert there(url) == ["after", "and again"]


def _lost(connection: Any) -> None:
    connection.close()
    raise psycopg2.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("is_written", [True, False])
def test_what_may_be_written_is_looked_for_before_it_is_written_again(
    url: str, is_written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: the connection is lost while the commit is under way, whose answer nobody has; the batch is not sent
    again at once, and what is given back is written once, whether the commit came through or not."""
    refusals: list[int] = []
    monkeypatch.setattr(event_rows, "_tell_of_refusal", lambda count, error: refusals.append(count))
    with superset_engine(url) as (engine, sent):
        commit: Callable[[Any], None] = engine.dialect.do_commit

        def cut(connection: Any) -> None:
            if is_written:
                commit(connection)
            _lost(connection)

        with monkeypatch.context() as patch:
            patch.setattr(engine.dialect, "do_commit", cut)
            left = write(rows(engine, "one", "two"))
        assert (len(left), refusals, sent) == (2, [2], ["INSERT"])
        assert write(left) == []
    assert there(url) == ["one", "two"]


def test_a_server_that_is_away_gets_its_rows_later(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a connection that is lost with the rows under way is tried once more, and then the rows wait."""
    refusals: list[int] = []
    monkeypatch.setattr(event_rows, "_tell_of_refusal", lambda count, error: refusals.append(count))
    with superset_engine(url) as (engine, sent):
        lose = [2]

        @event.listens_for(engine, "before_cursor_execute")
        def lost(connection: Any, *_: Any) -> None:
            if lose[0]:
                lose[0] -= 1
                close_all(url)

        left = write(rows(engine, "waits"))
        assert (len(left), refusals, sent) == (1, [1], ["INSERT"] * 2)
        assert write(left) == []
    assert there(url) == ["waits"]
