"""The statements that make the table of an aggregate, and what is counted in it then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superset_ext.aggregates.tables.definition import Definition, full
from superset_ext.aggregates.view import quoted

_NULLS_ARE_ONE = 150_000  # the version of servers whose unique indexes can hold NULL to be one value
_TYPES = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""


def statements(definition: Definition, server_version: int) -> list[str]:
    """What makes the table beside the one that is there, if any, with its indexes."""
    made = f"CREATE TABLE {full(f'new_{definition.name}')} AS {definition.select()}"
    return [made, *finished(definition, server_version)]


def finished(definition: Definition, server_version: int) -> list[str]:
    """What makes the indexes of that table, once its rows are there, and has it analyzed."""
    view, table, made = definition.view, full(f"new_{definition.name}"), []
    if view.keys:
        names = ", ".join(quoted(view.names[key]) for key in view.keys)
        nulls = " NULLS NOT DISTINCT" if server_version >= _NULLS_ARE_ONE else ""
        made.append(f"CREATE UNIQUE INDEX ON {table} ({names}){nulls}")
    leading = view.names[view.keys[0]] if view.keys else None
    made += [f"CREATE INDEX ON {table} ({quoted(name)})" for name in definition.filters if name != leading]
    return [*made, f"ANALYZE {table}"]


def types_of(cursor: Any, table: str) -> dict[str, str]:
    """The types of a table's columns, as the source writes them."""
    cursor.execute(_TYPES, (table,))
    return dict(cursor.fetchall())


def counted(cursor: Any, definition: Definition) -> tuple[int, Mapping[str, int]]:
    """How many rows an aggregate has, and how many values each key, NULL among them."""
    names = [definition.view.names[key] for key in definition.view.keys]
    values = [f"count(DISTINCT {quoted(name)}) + coalesce(max(({quoted(name)} IS NULL)::integer), 0)" for name in names]
    parts = ["count(*)", *values]
    cursor.execute(f"SELECT {', '.join(parts)} FROM {definition.table}")  # noqa: S608  (identifiers)
    rows, *numbers = cursor.fetchone()
    return rows, dict(zip(names, numbers, strict=True))
