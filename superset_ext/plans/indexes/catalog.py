"""What a source says of its tables: rows, pages, and statistics of columns. Only the catalog is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from superset_ext.core.log_database import all_rows
from superset_ext.core.sql_folder import query_text
from superset_ext.plans.indexes.index import Index, Key, TableName, quoted


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what ANALYZE has found out of it.

    Attributes:
        type: its type's name as PostgreSQL prints it, without length.
        width: bytes, on average.
        length: bytes of its type; negative where values differ in length.
        align: to how many bytes its values are aligned.
        distinct: how many values it has.
        nulls: the share of rows without a value.
        correlation: between the order of its values and that of the rows, -1 to 1.
        dedups: whether equal values may share an entry of an index.
        analyzed: whether the statistics are there; else all of this is a guess.
    """

    name: str
    type: str = "integer"
    width: float = 4.0
    length: int = 4
    align: int = 4
    distinct: float = 200.0
    nulls: float = 0.0
    correlation: float = 0.0
    dedups: bool = True
    analyzed: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        visible: whether it is reached without its schema.
        writes: rows inserted, updated and deleted since the statistics began, without HOT updates.
        days: since then; `None` where that is not known.
    """

    name: TableName
    rows: float
    pages: int
    columns: Mapping[str, Column]
    visible: bool = True
    writes: int = 0
    days: float | None = None

    @property
    def writes_a_day(self) -> float | None:
        """Rows written a day; `None` where they were not counted for one, as a load may be all of it."""
        return self.writes / self.days if self.days is not None and self.days >= 1.0 else None


@dataclass(frozen=True, slots=True)
class Existing:
    """An index that the source has.

    Attributes:
        index: what it is ordered by; `None` where it is of a kind that is not modelled, as GIN.
        definition: as PostgreSQL prints it.
        constrains: it is unique, or belongs to a constraint, a replica identity or a clustering.
        scans: since the statistics began, on this server alone.
        days: since then, at least; `None` where that is not known.
        building: it is being built at this moment.
    """

    name: str
    table: TableName
    index: Index | None
    definition: str
    bytes: int
    valid: bool
    constrains: bool
    scans: int
    days: float | None
    building: bool = False

    @property
    def drop(self) -> str:
        """The statement that takes it away."""
        return f"DROP INDEX CONCURRENTLY {quoted(self.table.schema)}.{quoted(self.name)};"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tables of a source that statements name, and the indexes of all its tables."""

    tables: tuple[Table, ...]
    existing: tuple[Existing, ...] = ()
    _by_name: dict[str, list[Table]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Remember tables by their bare names."""
        for table in self.tables:
            self._by_name.setdefault(table.name.name, []).append(table)

    def table(self, name: str, schema: str | None) -> Table | None:
        """The table that a statement means by a name; `None` where there is none, or no telling which."""
        tables = self._by_name.get(name, [])
        if schema:
            return next((table for table in tables if table.name.schema == schema), None)
        return next((table for table in tables if table.visible), None)

    def of(self, name: TableName) -> Table:
        """The table of this whole name."""
        return next(table for table in self.tables if table.name == name)


def read_catalog(cursor: Any, names: Iterable[str]) -> Catalog:
    """What the source says of all tables of these bare names that it lets this role see, and of all its indexes.

    Raises:
        Exception: whatever the driver raises.
    """
    wanted = {"names": sorted(set(names))}
    cursor.execute(query_text("postgresql_columns_for_indexes"), wanted)
    tables = tuple(_tables(all_rows(cursor)))
    cursor.execute(query_text("postgresql_indexes"))
    return Catalog(tables, tuple(map(_existing, all_rows(cursor))))


def _tables(rows: list[dict[str, Any]]) -> Iterator[Table]:
    columns: dict[int, dict[str, Column]] = {}
    for row in rows:
        columns.setdefault(row["oid"], {})[row["column_name"]] = _column(row)
    for row in {row["oid"]: row for row in rows}.values():
        yield Table(
            TableName(row["schema_name"], row["table_name"]), row["row_count"], row["pages"], columns[row["oid"]],
            row["visible"], row["writes"], row["days"],
        )  # fmt: skip


def _column(row: Mapping[str, Any]) -> Column:
    """A negative number of distinct values is a share of the rows."""
    counted = row["n_distinct"]
    rows = max(float(row["row_count"]), 1.0)
    distinct = 200.0 if counted is None else -counted * rows if counted < 0 else float(counted)
    return Column(
        row["column_name"], row["type_name"], float(row["width"]), row["length"], row["align"],
        min(max(distinct, 1.0), rows), float(row["nulls"]), float(row["correlation"]), row["dedups"],
        counted is not None,
    )  # fmt: skip


def _existing(row: Mapping[str, Any]) -> Existing:
    table = TableName(row["schema_name"], row["table_name"])
    index = None
    if row["method"] in ("btree", "brin") and row["plain"]:
        keys = tuple(Key(name) for name in row["key_columns"])
        index = Index(table, keys, tuple(row["included"]), row["predicate"], row["method"])
    return Existing(
        row["index_name"], table, index, row["definition"], row["bytes"], row["valid"], row["constrains"],
        row["scans"], row["days"], row["building"],
    )  # fmt: skip
