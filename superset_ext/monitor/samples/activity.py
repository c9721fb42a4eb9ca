"""How busy the source databases are, as PostgreSQL reports it.

Each database is asked in a thread of its own through Superset's own connection, a few at a time, with short timeouts:
one that hangs costs its own answer only.
"""

from __future__ import annotations

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

AT_A_TIME = 8
CONNECT_SECONDS = 3
STATEMENT_SECONDS = 2.0
ALL_SECONDS = 10.0
# A role that may not see the statements of others sees their connections, and only its own as running.
_ACTIVITY = """
SELECT count(*), count(*) FILTER (WHERE state = 'active'), (
    -- What PostgreSQL 13 does not tell is NULL; nobody who waits is 0.
    SELECT CASE WHEN count(*) = 0 THEN 0 ELSE max(
        extract(epoch FROM clock_timestamp() - (to_jsonb(l) ->> 'waitstart')::timestamptz)) END::float8
    FROM pg_locks AS l JOIN pg_stat_activity AS w ON w.pid = l.pid
    WHERE NOT l.granted AND w.datname = current_database()
) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_asking: dict[int, threading.Thread] = {}  # by database; a thread cannot be stopped, and must not pile up


@dataclass(frozen=True, slots=True)
class Activity:
    """Connections to a database, how many of them run a statement, and seconds of the longest wait for a lock; without
    the connection that asked."""

    connections: int
    running: int
    lock_seconds: float | None = None


def engines_by_id() -> dict[int, str]:
    """SQLAlchemy's name of the engine of each of Superset's databases, by id; needs an app context."""
    from superset_ext.host.models import Database, db

    rows = db.session.query(Database.id, Database.sqlalchemy_uri).all()
    return {number: (uri or "").partition(":")[0].partition("+")[0] for number, uri in rows}


def can_be_asked(engine: str) -> bool:
    """Whether databases of this engine report their activity."""
    return engine == POSTGRESQL


def activities(app: Any, databases: Iterable[int], seconds: float = ALL_SECONDS) -> dict[int, Activity]:
    """The activity of those PostgreSQL databases that answer within `seconds` in all, by id.

    Args:
        app: Superset.
        databases: Superset's ids.
    """
    deadline, room = time.monotonic() + seconds, threading.Semaphore(AT_A_TIME)
    answers: dict[int, Activity] = {}
    for number in databases:
        if number not in _asking or not _asking[number].is_alive():
            _asking[number] = threading.Thread(
                target=_ask, args=(app, number, answers, room, deadline), name="superset_ext-sample", daemon=True
            )
            _asking[number].start()
    for thread in list(_asking.values()):
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(answers)


def _ask(app: Any, number: int, answers: dict[int, Activity], room: threading.Semaphore, deadline: float) -> None:
    with room:
        if time.monotonic() >= deadline:
            return
        try:
            with app.app_context():
                answers[number] = _activity(detached(database_of(number)))
        except Exception as error:  # noqa: BLE001  (a driver may raise anything)
            warn(f"sample {number}", "database %d cannot be sampled (%s)", number, type(error).__name__)


def _activity(database: Any) -> Activity:
    from sqlalchemy import event

    with database.get_sqla_engine() as engine:
        if engine.driver in ("psycopg2", "psycopg"):
            event.listen(engine, "do_connect", _hasten)
        with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
            limit(connection.dbapi_connection, cursor, STATEMENT_SECONDS)
            cursor.execute(_ACTIVITY)
            return Activity(*cursor.fetchone())


def _hasten(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    """Wait for a server no longer than this, unless its own settings say otherwise."""
    parameters.setdefault("connect_timeout", CONNECT_SECONDS)
    parameters.setdefault("tcp_user_timeout", int((CONNECT_SECONDS + STATEMENT_SECONDS) * 1000))
