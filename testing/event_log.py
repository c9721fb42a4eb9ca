"""Requests to a Superset of a test's own, and the rows of `logs` that they leave, with stock's logger and with ours.

Runs in a process with a Superset app (see `testing/superset_app.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import Context
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import psycopg2
from sqlalchemy import event
from sqlalchemy.engine import Engine

from superset_ext.host.event_watch import STATEMENT, about_to_execute
from testing.asking import Asking
from testing.in_process import ADMIN, PASSWORD

CONFIG = """
WTF_CSRF_ENABLED = False
RATELIMIT_ENABLED = False
from superset_ext.config import *
"""
NAMES = ("action", "user_id", "dashboard_id", "slice_id", "json", "referrer", "dttm", "duration_ms")
ROWS = f"SELECT {', '.join(NAMES)} FROM logs WHERE id > %s ORDER BY id"
VIEWED = {"event_name": "mount_dashboard", "source": "dashboard", "ts": 1764300000000}
LEFT = ("sql", "orm", "flushed")
REFERRER = "http://localhost/superset/dashboard/1/?näme=ü"


class Site:
    """An administrator with a chart and a dashboard over a table."""

    def __init__(self, app: Any, metadata: str) -> None:
        from superset.extensions import appbuilder, db, security_manager
        from superset.models.dashboard import Dashboard
        from superset.models.slice import Slice

        self.app, self.metadata = app, metadata
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        role = security_manager.find_role("Admin")
        security_manager.add_user(ADMIN, "Ada", "Min", "admin@example.org", role, PASSWORD)
        asking: Any = Asking(SimpleNamespace(app=app), os.environ["SOURCE"])  # type: ignore[arg-type]
        asking.sql("CREATE TABLE IF NOT EXISTS t (v int)")
        self.dataset = asking.dataset("t")
        self.body = asking.body(self.dataset)
        self.chart = asking.chart(self.dataset)
        db.session.rollback()
        made = Dashboard(dashboard_title="a page", slices=[db.session.get(Slice, self.chart)], published=True)
        db.session.add(made)
        db.session.commit()
        self.dashboard = int(made.id)
        db.session.remove()
        self.client = app.test_client()
        form = {"username": ADMIN, "password": PASSWORD}
        assert self.client.post("/login/", data=form).status_code == 302

    def requests(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """What people do, by name: looking, and editing."""
        viewed = {"events": json.dumps([{**VIEWED, "source_id": n, "dashboard_id": self.dashboard} for n in (1, 2)])}
        opened = f"/superset/dashboard/{self.dashboard}/"
        yield "a page", lambda: self.ask("GET", opened)
        yield "a chart", lambda: self.ask("POST", "/api/v1/chart/data", json=self.body)
        yield "the same again", lambda: self.ask("POST", "/api/v1/chart/data", json=self.body)
        yield "no chart", lambda: self.ask("POST", "/api/v1/chart/data", json={"datasource": {"id": 1}})
        yield "a chart's own", lambda: self.ask("GET", f"/api/v1/chart/{self.chart}/data/")
        yield "events", lambda: self.ask("POST", "/superset/log/?explode=events", data=viewed)
        yield "events that are none", lambda: self.ask("POST", "/superset/log/?explode=events", data={"events": "{"})
        yield "a list", lambda: self.ask("GET", "/api/v1/dashboard/?q=(page_size:5,filters:!())")
        yield "what is not there", lambda: self.ask("GET", "/api/v1/chart/987654")
        yield "an edit", lambda: self.ask("PUT", f"/api/v1/chart/{self.chart}", json={"description": "ünd"})
        yield "a favourite", lambda: self.ask("POST", f"/api/v1/dashboard/{self.dashboard}/favorites/")
        yield "Explore", lambda: self.ask("GET", f"/api/v1/explore/?slice_id={self.chart}")
        yield "activity", lambda: self.activity()
        yield "the log", lambda: self.ask("GET", "/api/v1/log/?q=(page_size:3)")

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Superset's response."""
        # As a server does: in no context of an app, which the request would share with what goes on around it.
        return Context().run(self.client.open, path, method=method, headers={"Referer": REFERRER}, **more)

    def view(self, number: int) -> None:
        """Tell Superset, as its pages do, that the dashboard was opened."""
        events = json.dumps([{**VIEWED, "source_id": number, "dashboard_id": self.dashboard}])
        assert self.ask("POST", "/superset/log/?explode=events", data={"events": events}).status_code == 200

    def activity(self) -> Any:
        """What Superset's home page shows of what somebody did last."""
        return self.ask("GET", "/api/v1/log/recent_activity/?q=(actions:!(mount_dashboard),distinct:!f,page_size:50)")

    def last_id(self) -> int:
        """The largest id of `logs`, as another process sees it."""
        return int(self.sql("SELECT coalesce(max(id), 0) FROM logs")[0][0])

    def rows(self, after: int = 0) -> list[dict[str, Any]]:
        """Rows of `logs` as another process sees them."""
        return [dict(zip(NAMES, row, strict=True)) for row in self.sql(ROWS, after)]

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement by a connection of its own."""
        with closing(psycopg2.connect(self.metadata)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


def add_views(app: Any) -> None:
    """Views that leave in the session what they do not commit, each in one of the ways `LEFT`; and one that does."""
    for how in LEFT:
        app.add_url_rule(f"/mine/{how}", how, partial(_leave, how))
    app.add_url_rule("/mine/committed", "committed", _commit)


def _commit() -> str:
    from flask import g
    from superset.extensions import db, event_logger
    from superset.models.core import FavStar

    with event_logger.log_context("mine"):
        db.session.add(FavStar(user_id=g.user.id, class_name="mine", obj_id=2))
        db.session.commit()
    return "done"


def _leave(how: str) -> str:
    from sqlalchemy import text
    from superset.extensions import db, event_logger
    from superset.models.core import FavStar

    with event_logger.log_context("mine"):
        if how == "sql":
            db.session.execute(text("INSERT INTO favstar (user_id, class_name, obj_id) VALUES (1, 'mine', 1)"))
        else:
            db.session.add(FavStar(user_id=1, class_name="mine", obj_id=1))
        if how == "flushed":
            db.session.flush()
    return "done"


def ours() -> Any:
    """The logger that the app has."""
    from superset.extensions import _event_logger

    return _event_logger["event_logger"]


@contextmanager
def stocks() -> Iterator[None]:
    """Within this the app logs as stock."""
    from superset.extensions import _event_logger
    from superset.utils.log import DBEventLogger

    before = _event_logger["event_logger"]
    _event_logger["event_logger"] = DBEventLogger()
    try:
        yield
    finally:
        _event_logger["event_logger"] = before


def is_looking() -> bool:
    """Whether this process looks at the statements that it sends."""
    return bool(event.contains(Engine, STATEMENT, about_to_execute))


def waiting() -> int:
    """Events that the app's logger keeps in memory."""
    return len(getattr(ours(), "_writer", ()))


def flush() -> None:
    """Have what waits written."""
    if waiting():
        assert ours()._writer.flush(600.0)


def logged(site: Site, ask: Callable[[], Any]) -> tuple[int, list[dict[str, Any]], int]:
    """The status of a response, the rows that it left, and how many events of them waited in memory.

    Of times and durations it is said whether they are of the request.
    """
    assert not waiting()
    first, before = site.last_id(), datetime.utcnow()
    status = ask().status_code
    after, waited = datetime.utcnow(), waiting()
    flush()
    rows = site.rows(first)
    for row in rows:
        row["dttm"] = before <= row["dttm"] <= after
        row["duration_ms"] = None if row["duration_ms"] is None else row["duration_ms"] >= 0
    return status, rows, waited
