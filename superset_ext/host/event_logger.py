"""Superset's event logger, which commits nothing while a request that only reads is answered.

Stock's commits each event within its request, with the request's session. This one hands the rows of a request that
has only read to a thread, and leaves its session alone. In all other cases it does what stock's does, at once: what a
request has changed is committed by that commit, and some of Superset's code leaves it to it (rows of `cache_keys`).
Whoever reads `logs` in this process sees what was logged before.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime
from importlib.metadata import version
from typing import Any

from flask import has_request_context, request
from sqlalchemy import event
from sqlalchemy.engine import Engine
from superset.utils import json
from superset.utils.log import DBEventLogger

from superset_ext.core.signals import count_failure, unfailing
from superset_ext.host.event_rows import Event, write
from superset_ext.host.event_writer import EventWriter
from superset_ext.host.release import SUPPORTED

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0  # that somebody who reads `logs` waits for the thread
_PAGES = frozenset({"LogRestApi", "LogModelView"})  # a transaction may see only what was there when it began
_LOGS = re.compile(r"\blogs\b")  # and no `access_logs` of a source
_AT_ONCE = frozenset({"sqlite"})  # which has one writer at a time, and in memory one connection
_HAS_WRITTEN = "superset_ext.has_written"  # in the environment of a request
_writers: list[EventWriter] = []  # one for each config of this process


class BatchedEventLogger(DBEventLogger):  # type: ignore[misc]
    """Writes the same rows as stock's, those of requests that only read a moment later.

    Args:
        seconds: after which such a row is written at the latest.
    """

    def __init__(self, seconds: float) -> None:
        self._writer = EventWriter(seconds)
        _writers.append(self._writer)
        if not event.contains(Engine, "before_cursor_execute", _about_to_execute):
            event.listen(Engine, "before_cursor_execute", _about_to_execute)

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
        """Whether the thread has taken the event over."""
        try:
            if not _has_only_read() or (engine := _engine()) is None:
                return False
            rows = [_row(names, dashboard_id, slice_id, record) for record in _records(given)]
            return not rows or self.take(engine, rows)
        except Exception as error:  # noqa: BLE001  (stock's way is open)
            count_failure("leaving an event to be written later", error)
            return False

    def take(self, engine: Engine, rows: list[dict[str, Any]]) -> bool:
        """Whether the thread has taken rows over, as one event; else the caller writes them."""
        return self._writer.put(_event(engine, rows))


def log_rows(logger: Any, engine: Engine, rows: list[dict[str, Any]]) -> None:
    """Log rows that stock's logger would write: left to a logger that takes them, else written now, as one event."""
    takes = isinstance(logger, BatchedEventLogger) and engine.dialect.name not in _AT_ONCE
    if not (takes and logger.take(engine, rows)) and write([_event(engine, rows)]):
        log.error("superset_ext: %d rows of Superset's logs are lost", len(rows))  # as with stock's logger


def engine_of_logs() -> Any:
    """What rows of `logs` go to, in the app of this context."""
    from superset_ext.host.models import Log, db

    return db.session.get_bind(mapper=Log.__mapper__, clause=Log.__table__)


def _event(engine: Engine, rows: list[dict[str, Any]]) -> Event:
    return Event(engine, rows, sum(len(row["json"] or "") for row in rows))


def is_known(logger: Any) -> bool:
    """Whether a config's logger is stock's, in a Superset whose stock we know."""
    return type(logger) is DBEventLogger and version("apache-superset").startswith(SUPPORTED)


def _records(given: dict[str, Any]) -> list[Any]:
    """What stock makes rows of."""
    curated = given.get("curated_payload")
    return given.get("records", []) or ([curated] if curated else [])


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
    """Whether this is a request, and its session has nothing that stock's commit would commit."""
    from superset_ext.host.models import db

    if not has_request_context() or _HAS_WRITTEN in request.environ:
        return False
    session = db.session()
    return not (session.new or session.dirty or session.deleted)


def _engine() -> Engine | None:
    """The engine that rows of `logs` go to; `None` where they are to be written by the session."""
    bind = engine_of_logs()
    return bind if isinstance(bind, Engine) and bind.dialect.name not in _AT_ONCE else None


@unfailing("looking at a statement before it is sent")
def _about_to_execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    """Note that a request writes; have what waits written before somebody reads it."""
    # Looked at in place, without a call: Superset sends some twenty statements a request.
    in_request = has_request_context()
    if in_request and statement[:6].upper() != "SELECT":
        request.environ[_HAS_WRITTEN] = True
    reads = "logs" in statement and not statement.startswith("INSERT") and _LOGS.search(statement)
    if reads or (in_request and request.blueprint in _PAGES):
        _write_what_waits()


def _write_what_waits() -> None:
    for writer in _writers:
        if len(writer):
            writer.flush(FLUSH_SECONDS)
