"""What requests send to databases, looked at for Superset's log of events: what has changed something, what reads it.

Looking begins with the first request of a process. One that answers none, as a worker of Celery or a command, has no
events that wait, and none of its statements is looked at.
"""

from __future__ import annotations

import re
import threading
from typing import Any

from flask import has_request_context, request, request_started
from sqlalchemy import event
from sqlalchemy.engine import Engine

from superset_ext.core.signals import unfailing
from superset_ext.host.event_writer import EventWriter

FLUSH_SECONDS = 1.0  # that somebody who reads `logs` waits for the thread
STATEMENT = "before_cursor_execute"
_PAGES = frozenset({"LogRestApi", "LogModelView"})  # a transaction may see only what was there when it began
_LOGS = re.compile(r"\blogs\b")  # and no `access_logs` of a source
_WRITES = "superset_ext.writes"  # in the environment of a request; absent where it is not looked at
_writers: list[EventWriter] = []  # one for each config of this process
_first = threading.Lock()
_is_looking = False


def watch(writer: EventWriter) -> None:
    """From the next request on, have what waits in this writer written before somebody reads it."""
    _writers.append(writer)
    request_started.connect(_request_begins)


def has_only_read() -> bool:
    """Whether this is a request that was looked at from its beginning, and has sent nothing but SELECT."""
    return has_request_context() and request.environ.get(_WRITES) is False


@unfailing("looking at a request from its beginning")
def _request_begins(_app: Any, **_: Any) -> None:
    if _is_looking or not _look():
        request.environ[_WRITES] = False


def _look() -> bool:
    """Look at all statements from now on; whether that is new, so that a connection may be open that is not looked at.

    All requests pass here first, so that none goes through SQLAlchemy's list of listeners while it gets longer.
    """
    global _is_looking
    with _first:
        is_new = not _is_looking
        if is_new:
            event.listen(Engine, STATEMENT, about_to_execute)
            _is_looking = True
        return is_new


@unfailing("looking at a statement before it is sent")
def about_to_execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    """Note that a request writes; have what waits written before somebody reads it."""
    # Looked at in place, without a call: Superset sends some twenty statements a request.
    in_request = has_request_context()
    if in_request and statement[:6].upper() != "SELECT":
        request.environ[_WRITES] = True
    reads = "logs" in statement and not statement.startswith("INSERT") and _LOGS.search(statement)
    if reads or (in_request and request.blueprint in _PAGES):
        _write_what_waits()


def _write_what_waits() -> None:
    for writer in _writers:
        if len(writer):
            writer.flush(FLUSH_SECONDS)
