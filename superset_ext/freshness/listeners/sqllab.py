"""What people write to a source in SQL Lab: INSERT, CREATE TABLE AS and the like.

Superset has a row for each query that it runs there. It sets the row's end only after the source has committed, in the
web process and in the worker of asynchronous queries alike. That change of the row is what this file listens to. Before
each block that it sends, Superset notes in the row what it sends.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import partial, reduce
from operator import or_
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from superset_ext.core.signals import unfailing
from superset_ext.core.until_commit import UntilCommit
from superset_ext.freshness.change import Change, SourceTable
from superset_ext.freshness.listeners.tell import Tell, noticed
from superset_ext.sqltables.table import Table
from superset_ext.sqltables.writes import written_tables
from superset_ext.sqltables.written import Written

# A query that failed or was stopped may have run some of its statements.
_OVER = frozenset({"success", "failed", "stopped", "timed_out"})
_TEMPLATE = ("{{", "{%", "{#")
_BLOCKS = "_superset_ext_blocks"  # an attribute of Superset's object of a query
_NOTHING = Written(frozenset(), False)


def install(tell: Tell) -> None:
    """Listen from now on."""
    ended = UntilCommit[Change](lambda changes: _committed(changes, tell))

    @unfailing("noticing the end of a query in SQL Lab")
    def flushed(session: Any, _context: Any) -> None:
        _flushed(session, ended)

    event.listen(Session, "after_flush", flushed)


def _flushed(session: Any, ended: UntilCommit[Change]) -> None:
    for thing in session.dirty:
        for change in noticed("sqllab", partial(_changes, thing)):
            ended.add(session, change)


def _changes(thing: Any) -> Sequence[Change]:
    """What has changed with this flush of an object."""
    from sqlalchemy import inspect

    from superset_ext.host.models import Query

    if not isinstance(thing, Query):
        return ()
    attributes = inspect(thing).attrs
    if thing.executed_sql and attributes.executed_sql.history.has_changes():
        setattr(thing, _BLOCKS, [*_blocks(thing), thing.executed_sql])
    is_over = thing.status in _OVER and attributes.status.history.has_changes()
    return changes_of(thing) if is_over else ()


def _committed(changes: list[Change], tell: Tell) -> None:
    for change in changes:
        tell(change)


def changes_of(query: Any) -> Sequence[Change]:
    """What a query of SQL Lab has changed in its source; nothing if it only read."""
    change = partial(Change, "sqllab", at=time.time(), user_id=query.user_id)
    written = _written(query)
    if written is None or (written.is_ambiguous and not query.schema):
        return (change("data_update", databases=(query.database_id,)),)
    shaped = written.tables if written.schema_change else frozenset()
    rows = _named(query, written.rows if shaped else written.tables)
    functions = _functions(query, written)
    changes = [change("schema_change", tables=_named(query, shaped))] if shaped else []
    return changes + ([change("data_update", tables=rows, functions=functions)] if rows or functions else [])


def _functions(query: Any, written: Written) -> tuple[SourceTable, ...]:
    """The functions that may have written something; of a script that only reads, Superset keeps nothing."""
    is_kept = written.is_kept or "AUTOCOMMIT" in (query.database.extra or "").upper()
    if not is_kept or query.database.db_engine_spec.engine != "postgresql":
        return ()
    return tuple(SourceTable(query.database_id, Table("", name)) for name in sorted(written.calls))


def _named(query: Any, tables: Collection[Table]) -> tuple[SourceTable, ...]:
    schema = query.schema or ""
    return tuple(SourceTable(query.database_id, Table(table.schema or schema, table.name)) for table in tables)


def _written(query: Any) -> Written | None:
    """What its SQL writes, or `None` if that is not known.

    What was sent is known block by block, as Superset has noted it in the row: after templates and mutators. The text
    that was typed counts too, since a block may not have been noted; of a template it says nothing.
    """
    sql, blocks = query.sql or "", _blocks(query)
    is_template = any(mark in sql for mark in _TEMPLATE)
    texts = ([] if is_template else [sql]) + (["\n;\n".join(blocks)] if blocks else [])
    made = Written(frozenset({_made(query)}), True) if query.select_as_cta and query.tmp_table_name else _NOTHING
    pieces = [written_tables(text, query.database.db_engine_spec.engine) for text in texts]
    if not pieces or None in pieces:
        return None
    return reduce(or_, (piece for piece in pieces if piece is not None), made)


def _made(query: Any) -> Table:
    return Table(query.tmp_schema_name or "", query.tmp_table_name)


def _blocks(query: Any) -> list[str]:
    """What was sent of a query so far, in this process."""
    blocks: list[str] = getattr(query, _BLOCKS, [])
    return blocks
