"""What people write to a source in SQL Lab: INSERT, CREATE TABLE AS and the like.

Superset has a row for each query that it runs there. It sets the row's end only after the source has committed, in the
web process and in the worker of asynchronous queries alike. That change of the row is what this file listens to.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from superset_ext.core.signals import unfailing
from superset_ext.freshness.change import Change, SourceTable
from superset_ext.freshness.listeners.tell import Tell, noticed
from superset_ext.settings import Operation
from superset_ext.sqltables.table import Table
from superset_ext.sqltables.writes import Written, written_tables

_PENDING = "superset_ext_queries"  # in a session's `info`
# A query that failed or was stopped may have run some of its statements.
_OVER = frozenset({"success", "failed", "stopped", "timed_out"})
_TEMPLATE = ("{{", "{%")


def install(tell: Tell) -> None:
    """Listen from now on."""
    event.listen(Session, "after_flush", _flushed)
    event.listen(Session, "after_rollback", _forget)

    @unfailing("telling of a write in SQL Lab")
    def committed(session: Any) -> None:
        _committed(session, tell)

    event.listen(Session, "after_commit", committed)


@unfailing("forgetting what was rolled back")
def _forget(session: Any) -> None:
    session.info.pop(_PENDING, None)


@unfailing("noticing a write in SQL Lab")
def _flushed(session: Any, _context: Any) -> None:
    for thing in session.dirty:
        change = noticed("sqllab", partial(_change, thing))
        if change is not None:
            session.info.setdefault(_PENDING, []).append(change)


def _change(thing: Any) -> Change | None:
    from sqlalchemy import inspect

    from superset_ext.host.models import Query

    if not isinstance(thing, Query) or thing.status not in _OVER:
        return None
    return change_of(thing) if inspect(thing).attrs.status.history.has_changes() else None


def _committed(session: Any, tell: Tell) -> None:
    for change in session.info.pop(_PENDING, ()):
        tell(change)


def change_of(query: Any) -> Change | None:
    """What a query of SQL Lab has changed in its source, or `None` if it only read."""
    at, user_id = time.time(), query.user_id
    if query.select_as_cta and query.tmp_table_name:
        made = Table(query.tmp_schema_name or "", query.tmp_table_name)
        return Change("sqllab", "schema_change", tables=(SourceTable(query.database_id, made),), at=at, user_id=user_id)
    written = _written(query)
    if written is None:
        return Change("sqllab", "data_update", databases=(query.database_id,), at=at, user_id=user_id)
    if not written.tables:
        return None
    schema = query.schema or ""
    tables = tuple(
        SourceTable(query.database_id, Table(table.schema or schema, table.name)) for table in written.tables
    )
    operation: Operation = "schema_change" if written.schema_change else "data_update"
    return Change("sqllab", operation, tables=tables, at=at, user_id=user_id)


def _written(query: Any) -> Written | None:
    """What its SQL writes, or `None` if that is not known: of a template Superset keeps only the last statement."""
    engine = query.database.db_engine_spec.engine
    sql = query.sql or ""
    if not any(mark in sql for mark in _TEMPLATE):
        return written_tables(sql, engine)
    return written_tables(query.executed_sql or sql, engine) if ";" not in sql.rstrip().rstrip(";") else None
