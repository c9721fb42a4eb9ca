"""Grants that are off cost nothing: a request meets a look at whether it is watched, and nothing else of theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from superset_ext import events
from superset_ext.cache import used
from superset_ext.cache.redis.node import Node
from superset_ext.grants import install
from testing.in_process import InProcess
from testing.walk import walk

ROOM = "superset_ext.grants"
Ask = Callable[[], Any]


@pytest.fixture
def ask(superset_app: InProcess, database_url: str) -> Iterator[Ask]:
    """Ask for a chart that is in the cache."""
    from superset.connectors.sqla.models import SqlaTable, SqlMetric, TableColumn
    from superset.extensions import db
    from superset.models.core import Database

    with superset_app.app.app_context():
        source = Database(database_name="plain")
        source.set_sqlalchemy_uri(database_url)
        made = SqlaTable(table_name="pg_class", schema="pg_catalog", database=source)
        made.columns = [TableColumn(column_name="relkind", type="TEXT")]
        made.metrics = [SqlMetric(metric_name="number", expression="count(*)")]
        db.session.add_all([source, made])
        db.session.commit()
        query = {"columns": ["relkind"], "metrics": ["number"], "row_limit": 10}
        body = {"datasource": {"id": made.id, "type": "table"}, "queries": [query], "form_data": {}}
    client = superset_app.client()

    def once() -> Any:
        answer = client.post("/api/v1/chart/data", json=body)
        assert answer.status_code == 200, answer.data
        return answer.json["result"][0]["is_cached"]

    once()
    assert once() is True
    yield once
    with superset_app.app.app_context():
        db.session.delete(db.session.get(SqlaTable, body["datasource"]["id"]))  # type: ignore[index]
        db.session.commit()
        db.session.delete(db.session.query(Database).filter_by(database_name="plain").one())
        db.session.commit()


def test_nothing_of_theirs_is_called(superset_app: InProcess, ask: Ask) -> None:
    """Intent: no hook of Flask's, no receiver, no file of theirs on the way of a request, no object in the database."""
    app = superset_app.app
    assert superset_app.package.settings.grants == "off"
    assert install.grants(app) is None
    hooks = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    called = [hook for by_name in hooks for some in by_name.values() for hook in some]
    receivers = [
        receiver for signal in vars(events).values() if hasattr(signal, "receivers_for")
        for receiver in signal.receivers_for(None)
    ]  # fmt: skip
    assert [hook for hook in (*called, *receivers) if hook.__module__.startswith(ROOM)] == []
    assert [file for file in walk(ask).files if file.startswith("grants/")] == []
    assert used.watched.get() is None
    assert superset_app.rows("SELECT to_regnamespace('superset_ext_grants')") == [(None,)]


def test_no_statement_and_no_round_trip_is_theirs(
    superset_app: InProcess, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: what a hit sends to the metadata database and to Redis is the same without the look that they add."""
    from superset.utils.log import AbstractEventLogger

    with_look = sent(superset_app, ask, monkeypatch)
    monkeypatch.setattr(AbstractEventLogger, "log_with_context", AbstractEventLogger.log_with_context.__wrapped__)
    assert sent(superset_app, ask, monkeypatch) == with_look


def sent(superset_app: InProcess, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The statements of a request, and its commands to Redis: the fewest, since some requests meet what is due.

    Which listeners are heard goes with a read whenever a time has passed, on a slow machine with each.
    """
    from sqlalchemy import event
    from superset.extensions import db

    texts: list[str] = []
    mine, stock = threading.get_ident(), Node.ask

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == mine:
            texts.append(statement)

    def noted(self: Node, commands: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == mine:
            texts.append(" ".join(str(command[0]) for _, command in commands if command[0] != "HGETALL"))
        return stock(self, commands, *args, **kwargs)

    def once() -> tuple[str, ...]:
        texts.clear()
        assert ask() is True
        return tuple(texts)

    with superset_app.app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Node, "ask", noted)
            return min((once() for _ in range(4)), key=len)
    finally:
        event.remove(engine, "before_cursor_execute", note)
