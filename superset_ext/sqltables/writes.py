"""Which tables a piece of SQL writes; `None` where something else may have been written too."""

from __future__ import annotations

import re

from sqlglot.dialects.dialect import Dialect

from superset_ext.sqltables.statement import NAME, Statement, dialect_of, settled, silent_parser, statements, words_of
from superset_ext.sqltables.table import Table, Unknown
from superset_ext.sqltables.write_statements import of_statement
from superset_ext.sqltables.written import Written

# Only the session that makes them sees them.
_TEMPORARY = re.compile(
    rf"CREATE (?:LOCAL |GLOBAL )?(?:TEMP|TEMPORARY) TABLE (?:IF NOT EXISTS )?({NAME}) .*", re.IGNORECASE
)
_READS = words_of("SELECT WITH VALUES TABLE FROM ( EXPLAIN SHOW SET DESCRIBE DESC")
# What may end temporary tables, so that their names mean other tables.
_ENDS = words_of("ROLLBACK ABORT COMMIT END DISCARD")


@silent_parser()
def written_tables(sql: str, engine: str) -> Written | None:
    """The tables that SQL writes, `None` where something else may have been written too.

    A function that is called is taken to write nothing, and what triggers and foreign keys do is not known: only the
    source knows (see `freshness.relations.effects`).

    Args:
        sql: one or several statements.
        engine: see `read_tables`.
    """
    try:
        return _write(sql, engine)
    except Exception:  # noqa: BLE001  (see read_tables)
        return None


def _write(sql: str, engine: str) -> Written:
    if engine == "kustokql":
        return _of_kusto(sql)
    script = _Script()
    for statement in statements(sql, dialect_of(engine) or Dialect.get_or_raise(None)):
        script.add(statement, of_statement(statement))
    settled(set(script.written.tables), script.moved, least=0)
    return script.written


class _Script:
    """Statements one after the other: what names mean may depend on those before.

    Attributes:
        written: what they write together.
        moved: whether a name without schema may by now mean another table.
    """

    def __init__(self) -> None:
        self.written = Written(frozenset(), False)
        self.moved = False
        self._temporary: set[Table] = set()
        self._made: set[Table] = set()

    def add(self, statement: Statement, written: Written) -> None:
        """Add the next statement."""
        self.moved |= statement.moves
        if self.moved or statement.first in _ENDS:
            self._temporary.clear()
        if not self.moved and (made := _TEMPORARY.fullmatch(statement.words)):
            self._temporary.add(statement.name(made[1]))
        others = written.tables - self._temporary
        is_ambiguous = bool(others) and written.schema_change and self._is_other(statement, others)
        rows, shape = written.rows - self._temporary, written.schema_change and bool(others)
        is_kept = bool(written.tables) or statement.first not in _READS
        self._refuse_lost_effects(statement, written)
        self.written |= Written(others, shape, rows, statement.calls, is_ambiguous, is_kept)
        if statement.first in ("DROP", "ALTER"):
            self._temporary -= written.tables

    def _refuse_lost_effects(self, statement: Statement, written: Written) -> None:
        """Refuse a table that is dropped or made anew after its rows were written.

        Raises:
            Unknown: what its triggers, its rules or its view did then can no longer be asked.
        """
        rows = self.written.rows - self._made
        if written.schema_change and any(_may_be_one(table, row) for table in written.tables for row in rows):
            raise Unknown(statement.first)
        if statement.first == "CREATE":
            self._made |= written.tables

    def _is_other(self, statement: Statement, tables: frozenset[Table]) -> bool:
        """Whether one of the names means another table after this statement than before."""
        before = {table.name for table in self.written.tables if not table.schema}
        is_bare = any(not table.schema for table in tables)
        return (is_bare and statement.first != "CREATE") or any(table.name in before for table in tables)


def _may_be_one(table: Table, other: Table) -> bool:
    return table.name == other.name and (table.schema == other.schema or not (table.schema and other.schema))


def _of_kusto(sql: str) -> Written:
    from superset.sql.parse import SQLScript

    if SQLScript(sql, "kustokql").has_mutation():
        raise Unknown("kustokql")
    return Written(frozenset(), False)
