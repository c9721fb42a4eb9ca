"""What DuckDB's catalogue says of a table or a view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from superset_ext.core.sql_folder import query_text
from superset_ext.plans.rewrite.facts import Column, Kind, Relation
from superset_ext.plans.rewrite.kinds import lowered

Ask = Callable[[str, Sequence[Any]], Iterable[Sequence[Any]]]
_KINDS = {
    "SMALLINT": Kind.INTEGER, "INTEGER": Kind.INTEGER, "BIGINT": Kind.INTEGER, "DOUBLE": Kind.FLOAT,
    "FLOAT": Kind.FLOAT, "VARCHAR": Kind.TEXT, "BOOLEAN": Kind.BOOLEAN, "DATE": Kind.DATE,
    "TIMESTAMP": Kind.TIMESTAMP, "TIMESTAMP WITH TIME ZONE": Kind.TIMESTAMPTZ, "TIME": Kind.TIME, "UUID": Kind.UUID,
}  # fmt: skip


class DuckDB:
    """The catalogue of a DuckDB database. Each relation is asked once.

    Args:
        ask: runs a query with question marks as placeholders, and returns its rows.
    """

    engine = "duckdb"

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[tuple[str | None, str], Relation | None] = {}

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """A table or a view; one that several schemas have must be named with its schema."""
        if (schema, name) not in self._known:
            rows = list(self._ask(query_text("duckdb_relation_facts"), (name, schema, schema)))
            unique = len({row[0] for row in rows}) == 1
            self._known[schema, name] = _relation(name, rows) if unique else None
        return self._known[schema, name]


def _relation(name: str, rows: Sequence[Sequence[Any]]) -> Relation:
    columns = {row[1]: _column(name, row) for row in rows}
    keys = frozenset(frozenset(map(lowered, key)) for key in rows[0][5] or [])
    return Relation(name, columns, None if rows[0][4] is None else float(rows[0][4]), keys)


def _column(table: str, row: Sequence[Any]) -> Column:
    _, name, type_name, is_null, _, _, leads, has_collation = row
    kind = Kind.DECIMAL if type_name.startswith("DECIMAL(") else _KINDS.get(type_name, Kind.OTHER)
    identical = kind not in (Kind.FLOAT, Kind.OTHER) and not (kind == Kind.TEXT and has_collation)
    return Column(name, kind, is_null, identical, None, leads, table)
