"""Superset's event logger, which commits nothing while a request that only reads is answered.

Stock's commits each event within its request, with the request's session. This one hands the rows of a request that
has only read to a thread, and leaves its session alone. In all other cases it does what stock's does, at once: what a
request has changed is committed by that commit, and some of Superset's code leaves it to it (rows of `cache_keys`).
Whoever reads `logs` in this process sees what was logged before (`event_watch`).

A request of warming is made by nobody's server, so nothing has looked at what it sent: its events are written together
at its end, with one commit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from importlib.metadata import version
from typing import Any

from sqlalchemy.engine import Engine
from superset.utils import json
from superset.utils.log import DBEventLogger

from superset_ext.core.signals import count_failure
from superset_ext.host.event_rows import Event, write
from superset_ext.host.event_watch import has_only_read, watch
from superset_ext.host.event_writer import EventWriter
from superset_ext.host.release import SUPPORTED

log = logging.getLogger(__name__)

_AT_ONCE = frozenset({"sqlite"})  # which has one writer at a time, and in memory one connection
Rows = list[dict[str, Any]]
_together: ContextVar[Rows | None] = ContextVar("superset_ext_events_together", default=None)


class BatchedEventLogger(DBEventLogger):  # type: ignore[misc]
    """Writes the same rows as stock's, those of requests that only read a moment later.

    Args:
        seconds: after which such a row is written at the latest.
    """

    def __init__(self, seconds: float) -> None:
        self._writer = EventWriter(seconds)
        watch(self._writer)

    def log(
        self,
        user_id: int | None,
        action: str,
        dashboard_id: int | None,
        duration_ms: int | None,
        slice_id: int | None,
        referrer: str | None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Log an event, as `DBEventLogger.log`."""
        names = {"user_id": user_id, "action": action, "duration_ms": duration_ms, "referrer": referrer}
        if not self._leave(names, dashboard_id, slice_id, kwargs):
            super().log(user_id, action, dashboard_id, duration_ms, slice_id, referrer, *args, **kwargs)

    def _leave(self, names: dict[str, Any], dashboard_id: Any, slice_id: Any, given: dict[str, Any]) -> bool:
        """Whether the event is written later: by the thread, or with the others of its block (see `together`)."""
        try:
            if (gathered := _together.get()) is not None:
                gathered += _rows(names, dashboard_id, slice_id, given)
                return True
            if not _has_only_read() or (engine := _engine()) is None:
                return False
            rows = _rows(names, dashboard_id, slice_id, given)
            return not rows or self.take(engine, rows)
        except Exception as error:  # noqa: BLE001  (stock's way is open)
            count_failure("leaving an event to be written later", error)
            return False

    def take(self, engine: Engine, rows: Rows) -> bool:
        """Whether the thread has taken rows over, as one event; else the caller writes them."""
        return self._writer.put(_event(engine, rows))


def log_rows(logger: Any, engine: Engine, rows: Rows) -> None:
    """Log rows that stock's logger would write: left to a logger that takes them, else written now, as one event."""
    takes = isinstance(logger, BatchedEventLogger) and engine.dialect.name not in _AT_ONCE
    if not (takes and logger.take(engine, rows)) and write([_event(engine, rows)]):
        log.error("superset_ext: %d rows of Superset's logs are lost", len(rows))  # as with stock's logger


@contextmanager
def together() -> Iterator[None]:
    """Have the events of this block written at its end, by one commit, with what Superset has left to its logger."""
    rows: Rows = []
    token = _together.set(rows)
    try:
        yield
    finally:
        _together.reset(token)
        if rows:
            _commit(rows)


def _commit(rows: Rows) -> None:
    """Write rows by Superset's session; where what happened has left its transaction broken, in a new one."""
    from superset_ext.host.models import Log, db

    session = db.session()
    try:
        session.bulk_insert_mappings(Log, rows)
        session.commit()
    except Exception as error:  # noqa: BLE001  (somebody waits for what was asked, not for its rows)
        session.rollback()
        if write([_event(engine_of_logs(), rows)]):
            count_failure("writing Superset's logs", error)


def engine_of_logs() -> Any:
    """What rows of `logs` go to, in the app of this context."""
    from superset_ext.host.models import Log, db

    return db.session.get_bind(mapper=Log.__mapper__, clause=Log.__table__)


def _event(engine: Engine, rows: Rows) -> Event:
    return Event(engine, rows, sum(len(row["json"] or "") for row in rows))


def is_known(logger: Any) -> bool:
    """Whether a config's logger is stock's, in a Superset whose stock we know."""
    return type(logger) is DBEventLogger and version("apache-superset").startswith(SUPPORTED)


def _rows(names: dict[str, Any], dashboard_id: Any, slice_id: Any, given: dict[str, Any]) -> Rows:
    """What stock makes of an event."""
    curated = given.get("curated_payload")
    records = given.get("records", []) or ([curated] if curated else [])
    return [_row(names, dashboard_id, slice_id, record) for record in records]


def _row(names: dict[str, Any], dashboard_id: Any, slice_id: Any, record: Any) -> dict[str, Any]:
    """A row as stock's logger and the columns' defaults make it."""
    text: str | None
    try:
        text = json.dumps(record)
    except Exception:  # noqa: BLE001  (as stock)
        text = None
    return {
        **names, "json": text, "dashboard_id": dashboard_id or record.get("dashboard_id"),
        "slice_id": slice_id or record.get("slice_id"), "dttm": datetime.utcnow(),
    }  # fmt: skip


def _has_only_read() -> bool:
    """Whether this is a request whose session has nothing that stock's commit would commit."""
    from superset_ext.host.models import db

    if not has_only_read():
        return False
    session = db.session()
    return not (session.new or session.dirty or session.deleted)


def _engine() -> Engine | None:
    """The engine that rows of `logs` go to; `None` where they are to be written by the session."""
    bind = engine_of_logs()
    return bind if isinstance(bind, Engine) and bind.dialect.name not in _AT_ONCE else None
