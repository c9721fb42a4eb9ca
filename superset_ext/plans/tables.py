"""What a PostgreSQL source knows of the tables in a plan: sizes, statistics, indexes, and no value of a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from superset_ext.core.sql_folder import query_text
from superset_ext.monitor.log.fingerprint import normalised
from superset_ext.plans.tree import Node, Plan

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        type: as the source writes it.
        not_null: whether it can be no NULL.
        analyzed: whether there are statistics of it (that the role may see).
        distinct: how many values it has; below 0, that times the rows. 0 where it is not known.
        correlation: of its order with that on disk, from -1 to 1.
        width: bytes of a value on average.
        written: its name as a statement takes it, where the source says so.
    """

    type: str
    not_null: bool = False
    analyzed: bool = False
    distinct: float = 0.0
    correlation: float = 0.0
    width: float = 0.0
    written: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """An index that can be used: its columns in order, an expression as `None`."""

    name: str
    columns: tuple[str | None, ...]
    unique: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table, partition or materialized view.

    Attributes:
        rows: at the last VACUUM or ANALYZE; -1 where there was none.
        pages: of 8 KB, as they are now.
        visible: the share of pages that an index-only scan need not visit, from 0 to 1.
        modified: rows that were changed since the last ANALYZE.
        analyzed_days: since the last ANALYZE; `None` where none is known.
        parent: the partitioned table that it is a part of, as `schema.name`.
        partition_key: columns of that table's key, as it is defined.
        partitions: how many parts that table has.
        extended: sets of columns with statistics of their own together.
        expressions: texts, without values, of what has statistics though it is no column: of indexes, and of
            `CREATE STATISTICS`.
        written: its name as a statement takes it, where the source says so.
    """

    schema: str
    name: str
    kind: str
    rows: float
    pages: float
    visible: float = 0.0
    modified: float = 0.0
    analyzed_days: float | None = None
    parent: str | None = None
    partition_key: str | None = None
    partitions: int = 0
    columns: Mapping[str, Column] = field(default_factory=dict)
    indexes: tuple[Index, ...] = ()
    extended: tuple[frozenset[str], ...] = ()
    expressions: tuple[str, ...] = ()
    written: str = ""

    @property
    def sql(self) -> str:
        """Its name as a statement takes it."""
        parts = (self.name,) if self.schema == "public" else (self.schema, self.name)
        return self.written or ".".join(map(quoted, parts))

    def columns_sql(self, names: Iterable[str]) -> str:
        """Columns as a statement takes them, one after the other."""
        return ", ".join((self.columns[name].written if name in self.columns else "") or quoted(name) for name in names)

    @property
    def label(self) -> str:
        """What a person calls it."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def bytes(self) -> float:
        """Of its rows on disk, without indexes."""
        return self.pages * 8192

    def indexes_on(self, column: str) -> tuple[Index, ...]:
        """Its indexes that begin with a column."""
        return tuple(index for index in self.indexes if index.columns[:1] == (column,))


def quoted(name: str) -> str:
    """A name as a statement takes it, with quotes where it has more than small letters, digits and underscores."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


Tables = Mapping[tuple[str, str], Table]


def tables_of(cursor: Any, plan: Plan) -> dict[tuple[str, str], Table]:
    """What the source knows of each table in a plan, by schema and name."""
    names = {(node.schema, node.relation) for node in plan.nodes() if node.schema and node.relation}
    if not names:
        return {}
    wanted = json.dumps([{"schema": schema, "name": name} for schema, name in sorted(names)])
    cursor.execute(query_text("postgresql_tables_of_a_plan"), {"names": wanted})
    rows = (row[0] if isinstance(row[0], dict) else json.loads(row[0]) for row in cursor.fetchall())
    return {(row["schema"], row["name"]): _table(row) for row in rows}


def table_of(tables: Tables, node: Node) -> Table | None:
    """The table that a node reads, if it reads one that is known."""
    return tables.get((node.schema or "", node.relation or ""))


_PARTS = ("columns", "indexes", "extended", "expressions")


def _table(row: Mapping[str, Any]) -> Table:
    return Table(
        **{name: item for name, item in row.items() if name not in _PARTS},
        columns={name: Column(**column) for name, column in (row["columns"] or {}).items()},
        indexes=tuple(Index(**{**index, "columns": tuple(index["columns"])}) for index in row["indexes"] or ()),
        extended=tuple(frozenset(columns or ()) for columns in row["extended"] or ()),
        expressions=tuple(normalised(text, "postgresql") for text in row["expressions"] or ()),
    )
