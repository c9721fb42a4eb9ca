"""How busy the source databases are, as PostgreSQL says of itself.

Each is asked in a thread of its own through Superset's own connection, a few at a time, with short timeouts: one that
hangs costs its own answer and nobody else's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from superset_ext.core.warn_once import warn
from superset_ext.freshness.probe.postgresql import limit
from superset_ext.freshness.probe.subject import POSTGRESQL
from superset_ext.host.databases import database_of, detached

logger = logging.getLogger(__name__)

AT_A_TIME = 8
CONNECT_SECONDS = 3
STATEMENT_SECONDS = 2.0
ALL_SECONDS = 10.0
# Whoever may not see other roles' statements sees their connections, and as running the own ones.
_ACTIVITY = """
SELECT count(*), count(*) FILTER (WHERE state = 'active') FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_asking: dict[int, threading.Thread] = {}  # by database; a thread cannot be stopped, and must not pile up


@dataclass(frozen=True, slots=True)
class Busy:
    """What a source said: connections to it, and how many of them run a statement, without the question's own."""

    connections: int
    running: int


def known() -> dict[int, str]:
    """SQLAlchemy's name of the engine of each of Superset's databases, by id; needs an app context."""
    from superset_ext.host.models import Database, db

    rows = db.session.query(Database.id, Database.sqlalchemy_uri).all()
    return {number: (uri or "").partition(":")[0].partition("+")[0] for number, uri in rows}


def ask(app: Any, databases: Iterable[int], seconds: float = ALL_SECONDS) -> dict[int, Busy]:
    """What those of some PostgreSQL databases say that answer within `seconds` in all.

    Args:
        app: Superset.
        databases: Superset's ids.
    """
    deadline, room = time.monotonic() + seconds, threading.Semaphore(AT_A_TIME)
    found: dict[int, Busy] = {}
    for number in databases:
        if number not in _asking or not _asking[number].is_alive():
            _asking[number] = threading.Thread(
                target=_ask, args=(app, number, found, room, deadline), name="superset_ext-sample", daemon=True
            )
            _asking[number].start()
    for thread in list(_asking.values()):
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(found)


def _ask(app: Any, number: int, found: dict[int, Busy], room: threading.Semaphore, deadline: float) -> None:
    with room:
        if time.monotonic() >= deadline:
            return
        try:
            with app.app_context():
                found[number] = _activity(detached(database_of(number)))
        except Exception as error:  # noqa: BLE001  (a driver raises what it likes)
            warn(f"sample {number}", "database %d cannot be sampled (%s)", number, type(error).__name__)


def _activity(database: Any) -> Busy:
    from sqlalchemy import event

    with database.get_sqla_engine() as engine:
        if engine.driver in ("psycopg2", "psycopg"):
            event.listen(engine, "do_connect", _hasten)
        with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
            limit(connection.dbapi_connection, cursor, STATEMENT_SECONDS)
            cursor.execute(_ACTIVITY)
            return Busy(*cursor.fetchone())


def _hasten(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    """Wait for a server no longer than this, unless its own settings say so."""
    parameters.setdefault("connect_timeout", CONNECT_SECONDS)
    parameters.setdefault("tcp_user_timeout", int((CONNECT_SECONDS + STATEMENT_SECONDS) * 1000))


def is_asked(engine: str) -> bool:
    """Whether a source can say how busy it is."""
    return engine == POSTGRESQL
