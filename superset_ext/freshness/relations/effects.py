"""What a write to some tables of a PostgreSQL writes beside them: through views, rules, foreign keys and triggers.

Whoever runs DML names one table. The catalog knows what the server does then. Where it does not know, because a
function may write anything, that is an error, and the caller takes everything in the database for changed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from superset_ext.core.sql_folder import query_text
from superset_ext.freshness.relations.bodies import read_body
from superset_ext.sqltables.table import Table

_MOST = 20  # triggers whose writes fire triggers whose writes …


def written_with(connection: Any, tables: Collection[Table], functions: Collection[str]) -> frozenset[Table]:
    """The tables that a write to some tables writes, these included, and what those are parts of.

    Args:
        connection: to a PostgreSQL; its search path is that of names without a schema.
        tables: whose rows are written.
        functions: names of functions that the statement may have called.

    Raises:
        LookupError: something else may have been written too.
    """
    written: set[Table] = set()
    new, called = set(tables), set(functions)
    asked = (set(new), set(called))
    for _ in range(_MOST):
        more, calls = _step(connection, new, called, written)
        new, called = more - asked[0], calls - asked[1]
        if not new and not called:
            return frozenset(written)
        asked[0].update(new)
        asked[1].update(called)
    raise LookupError("its triggers lead too far")


def _step(
    connection: Any, tables: Collection[Table], functions: Collection[str], written: set[Table]
) -> tuple[set[Table], set[str]]:
    """Add what is written to `written`; the tables and functions that triggers name besides."""
    more: set[Table] = set()
    calls: set[str] = set()
    for schema, name, kind, text in _rows(connection, tables, functions):
        if kind == "missing":
            raise LookupError(f"there is no {Table(schema, name)} any more, and it is not known what a write to it did")
        if kind == "function" or (kind == "trigger" and text is None):
            raise LookupError(f"the function {schema}.{name}() may have written anything")
        if kind == "table":
            written.add(Table(schema, name))
        else:
            body = _body(schema, name, text)
            more |= body.tables
            calls |= body.calls
    return more, calls


def _body(schema: str, name: str, text: str) -> Any:
    try:
        return read_body(text)
    except LookupError:
        raise LookupError(f"the trigger function {schema}.{name}() may have written anything") from None


def _rows(connection: Any, tables: Collection[Table], functions: Collection[str]) -> list[Any]:
    parameters = {
        "schemas": [table.schema for table in tables], "names": [table.name for table in tables],
        "functions": sorted(functions),
    }  # fmt: skip
    cursor = getattr(connection, "connection", connection).cursor()
    try:
        cursor.execute(query_text("postgresql_tables_that_a_write_writes"), parameters)
        return list(cursor.fetchall())
    finally:
        cursor.close()
