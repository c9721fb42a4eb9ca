"""What people write to a source in SQL Lab: INSERT, CREATE TABLE AS and the like.

Superset keeps a row for each query that it runs there, and sets its end only after the source has committed; that
change of the row is what is listened to, in the web process and in the worker of asynchronous queries alike.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from superset_ext.freshness.change import Change, SourceTable
from superset_ext.freshness.listeners.orm import Tell
from superset_ext.settings import Operation
from superset_ext.sqltables.table import Table
from superset_ext.sqltables.writes import Written, written_tables

_PENDING = "superset_ext_queries"
# A query that failed or was stopped may have been through some of its statements.
_OVER = frozenset({"success", "failed", "stopped", "timed_out"})
_TEMPLATE = ("{{", "{%")


def install(tell: Tell) -> None:
    """Listen from now on."""
    event.listen(Session, "after_flush", _flushed)
    event.listen(Session, "after_rollback", lambda session: session.info.pop(_PENDING, None))
    event.listen(Session, "after_commit", lambda session: _committed(session, tell))


def _flushed(session: Any, _context: Any) -> None:
    from sqlalchemy import inspect
    from superset.models.sql_lab import Query

    for thing in session.dirty:
        if isinstance(thing, Query) and thing.status in _OVER and inspect(thing).attrs.status.history.has_changes():
            change = change_of(thing)
            if change is not None:
                session.info.setdefault(_PENDING, []).append(change)


def _committed(session: Any, tell: Tell) -> None:
    for change in session.info.pop(_PENDING, ()):
        tell(change)


def change_of(query: Any) -> Change | None:
    """What a query of SQL Lab has changed in its source, `None` where it only read."""
    at, user_id = time.time(), query.user_id
    if query.select_as_cta and query.tmp_table_name:
        made = Table(query.tmp_schema_name or "", query.tmp_table_name)
        return Change("sqllab", "schema_change", tables=(SourceTable(query.database_id, made),), at=at, user_id=user_id)
    found = _written(query)
    if found is None:
        return Change("sqllab", "data_update", databases=(query.database_id,), at=at, user_id=user_id)
    if not found.tables:
        return None
    schema = query.schema or ""
    tables = tuple(SourceTable(query.database_id, Table(each.schema or schema, each.name)) for each in found.tables)
    operation: Operation = "schema_change" if found.schema_change else "data_update"
    return Change("sqllab", operation, tables=tables, at=at, user_id=user_id)


def _written(query: Any) -> Written | None:
    """What its SQL writes. Of a template only the last statement that came of it is kept by Superset."""
    engine = query.database.db_engine_spec.engine
    sql = query.sql or ""
    if not any(mark in sql for mark in _TEMPLATE):
        return written_tables(sql, engine)
    return written_tables(query.executed_sql or sql, engine) if ";" not in sql.rstrip().rstrip(";") else None
