"""SQL Lab's queries, as its own rows tell of them.

Superset keeps a row for each and sets its end; that change of the row is listened to, in the web process and in the
worker of asynchronous queries alike. What never reached the source, being refused before, is no query.
"""

from __future__ import annotations

import re
import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from superset_ext.core.signals import tell
from superset_ext.core.warn_once import warn
from superset_ext.events import Channel, Queried, Scope, queried

_PENDING = "superset_ext_sqllab_ended"
_OVER = frozenset({"success", "failed", "stopped", "timed_out"})
_LATE_SECONDS = 3600.0  # an end that is longer ago is of another machine's clock
_CLASS = re.compile(r"\w{1,100}")


def install() -> None:
    """Listen from now on."""
    event.listen(Session, "after_flush", _flushed)
    event.listen(Session, "after_rollback", _forgotten)
    event.listen(Session, "after_commit", _committed)


def uninstall() -> None:
    """Listen no more."""
    event.remove(Session, "after_flush", _flushed)
    event.remove(Session, "after_rollback", _forgotten)
    event.remove(Session, "after_commit", _committed)


def _flushed(session: Any, _context: Any) -> None:
    from sqlalchemy import inspect

    from superset_ext.host.models import Query

    for thing in session.dirty:
        if isinstance(thing, Query) and thing.status in _OVER and inspect(thing).attrs.status.history.has_changes():
            _note(session, thing)


def _note(session: Any, query: Any) -> None:
    try:
        if query.executed_sql is not None and query.end_time is not None:
            # Of a query whose end was set twice before the commit, the last counts.
            session.info.setdefault(_PENDING, {})[query.id] = ended(query)
    except Exception as problem:  # noqa: BLE001  (the log's trouble is not SQL Lab's)
        _missing(problem)


def _forgotten(session: Any) -> None:
    session.info.pop(_PENDING, None)


def _committed(session: Any) -> None:
    for told in session.info.pop(_PENDING, {}).values():
        try:
            tell(queried, "sqllab", told)
        except Exception as problem:  # noqa: BLE001
            _missing(problem)


def _missing(problem: Exception) -> None:
    warn("sqllab", "a query of SQL Lab is missing in query_performance_log (%s)", type(problem).__name__)


def ended(query: Any) -> Queried:
    """What is told of a row of Superset's `query` table that has come to its end."""
    # Milliseconds since 1970, whatever the model says; some are floats and some, read back, Decimals.
    started, end = float(query.start_running_time or query.start_time or query.end_time), float(query.end_time)
    age = min(max(0.0, time.time() - end / 1000), _LATE_SECONDS)
    uri = query.database.sqlalchemy_uri or ""
    failed = query.status != "success"
    return Queried(
        source="sqllab",
        database_id=query.database_id,
        engine=uri.partition(":")[0].partition("+")[0],
        sql=query.sql or "",
        ms=max(0.0, end - started),
        ended=time.monotonic() - age,
        scope=Scope(channel=_channel(), database_id=query.database_id, schema=query.schema, user_id=query.user_id),
        rows=None if failed else query.rows,
        error=_error(query) if failed else None,
    )


def _error(query: Any) -> str:
    """The class of its error: what Superset calls it, else how the query ended. The message may hold anything."""
    if query.status == "failed":
        for each in query.extra.get("errors") or ():
            name = str(each.get("error_type") or "")
            if _CLASS.fullmatch(name):
                return name
    return str(query.status).upper()


def _channel() -> Channel:
    """The worker runs SQL Lab's queries within a made-up request, and the web process by calling the same task."""
    from celery import current_task

    return "celery" if current_task and not current_task.request.called_directly else "web"
