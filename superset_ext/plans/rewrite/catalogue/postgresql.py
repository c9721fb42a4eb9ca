"""What PostgreSQL's catalogue says of a table or a view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from superset_ext.core.sql_folder import query_text
from superset_ext.plans.rewrite.facts import Column, Kind, Relation

Ask = Callable[[str, Sequence[Any]], Iterable[Sequence[Any]]]
_KINDS = {
    "int2": Kind.INTEGER, "int4": Kind.INTEGER, "int8": Kind.INTEGER, "float4": Kind.FLOAT, "float8": Kind.FLOAT,
    "text": Kind.TEXT, "varchar": Kind.TEXT, "bool": Kind.BOOLEAN, "date": Kind.DATE, "timestamp": Kind.TIMESTAMP,
    "timestamptz": Kind.TIMESTAMPTZ, "time": Kind.TIME, "uuid": Kind.UUID,
}  # fmt: skip
_UNLIKE = (Kind.FLOAT, Kind.NUMERIC, Kind.OTHER)


class PostgreSQL:
    """The catalogue of a PostgreSQL server, version 14 to 18. Each relation is asked once.

    Args:
        ask: runs a query with psycopg2's placeholders, and returns its rows.
    """

    engine = "postgres"

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[tuple[str | None, str], Relation | None] = {}

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """A table or a view; a name without schema is looked for on the search path."""
        if (schema, name) not in self._known:
            quoted = ".".join(_quoted(part) for part in (schema, name) if part)
            rows = list(self._ask(query_text("postgresql_relation_facts"), (quoted,)))
            self._known[schema, name] = _relation(name, rows) if rows else None
        return self._known[schema, name]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _relation(name: str, rows: Sequence[Sequence[Any]]) -> Relation:
    count = float(rows[0][7]) if rows[0][7] is not None and rows[0][7] >= 0 else None
    columns = {row[0]: _column(name, row, count) for row in rows}
    return Relation(name, columns, count, frozenset(frozenset(key.split("\x1f")) for key in rows[0][8] or []))


def _column(table: str, row: Sequence[Any], count: float | None) -> Column:
    name, type_name, has_scale, is_null, is_deterministic, leads, distinct, *_ = row
    kind = _KINDS.get(type_name, Kind.OTHER)
    if type_name == "numeric":
        kind = Kind.DECIMAL if has_scale else Kind.NUMERIC
    many = None if distinct is None else -distinct * (count or 0) if distinct < 0 else distinct
    return Column(name, kind, is_null, is_deterministic and kind not in _UNLIKE, many, leads, table)
