"""SQL Lab's queries for the log, from Superset's own rows of them.

Superset keeps a row for each query and sets its status at the end. This listens to that change of the row, in the web
process and in the worker of asynchronous queries alike. A query that was refused before it reached the source does not
count.
"""

from __future__ import annotations

import re
import time
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from superset_ext.core.signals import tell, unfailing
from superset_ext.core.until_commit import UntilCommit
from superset_ext.events import Channel, Queried, Scope, queried

_OVER = frozenset({"success", "failed", "stopped", "timed_out"})
_LATE_SECONDS = 3600.0  # an end that is longer ago is by another machine's clock
_CLASS = re.compile(r"\w{1,100}")


def install() -> None:
    """Listen from now on."""
    event.listen(Session, "after_flush", _flushed)


def uninstall() -> None:
    """Stop listening."""
    event.remove(Session, "after_flush", _flushed)


@unfailing("logging a query of SQL Lab")
def _flushed(session: Any, _context: Any) -> None:
    from superset_ext.host.models import Query

    for model in session.dirty:
        if isinstance(model, Query) and _has_ended(model):
            _ended.add(session, (model.id, ended(model)))


def _has_ended(query: Any) -> bool:
    """Whether a query ends with this flush, after it was sent to the source."""
    is_over = query.status in _OVER and inspect(query).attrs.status.history.has_changes()
    return is_over and query.executed_sql is not None and query.end_time is not None


def _committed(queries: list[tuple[int, Queried]]) -> None:
    # Of a query whose end was set twice before the commit, the last one counts.
    for query in dict(queries).values():
        tell(queried, "sqllab", query)


_ended = UntilCommit[tuple[int, Queried]](_committed)


def ended(query: Any) -> Queried:
    """The event for a row of Superset's `query` table that has ended."""
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
    """The class of the error in Superset's words, or else the status. The message could contain anything."""
    if query.status == "failed":
        for error in query.extra.get("errors") or ():
            name = str(error.get("error_type") or "")
            if _CLASS.fullmatch(name):
                return name
    return str(query.status).upper()


def _channel() -> Channel:
    """The worker runs SQL Lab's queries in an artificial request; the web process calls the same task itself."""
    from celery import current_task

    return "celery" if current_task and not current_task.request.called_directly else "web"
