"""What a source's catalog says of the relations that statements ask: enough to make them anew, without a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.core.log_database import all_rows
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import NoScratch
from superset_ext.plans.indexes.sizes import PAGE

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Schema:
    """Rows of the source's catalog; the columns are those of `sql/queries/scratch_*.sql`.

    Attributes:
        version: of the server, as psycopg2 has it.
        search_path: names of schemas, quoted.
        plain_order: whether text is sorted by its bytes.
        settings: those that plans depend on.
        statistics: of columns, and of expressions of indexes.
    """

    version: int
    search_path: Sequence[str]
    plain_order: bool
    settings: Mapping[str, str]
    relations: Sequence[Row]
    types: Sequence[Row]
    indexes: Sequence[Row]
    constraints: Sequence[Row]
    statistics: Sequence[Row]


def read_schema(cursor: Any, names: Sequence[str]) -> Schema:
    """All that has one of these bare names, and what it is made of.

    Args:
        cursor: of a transaction of the source that may only read.

    Raises:
        NoScratch: the source has pages of another size.
        Exception: whatever the driver raises.
    """
    (settings,) = _rows(cursor, "settings", {})
    if settings["block_size"] != PAGE:
        raise NoScratch(f"the source has pages of {settings['block_size']} bytes, and a scratch server of {PAGE}")
    relations = _rows(cursor, "relations", {"names": sorted(set(names))})
    wanted = {"oids": [row["oid"] for row in relations]}
    types, indexes, constraints, statistics = (
        _rows(cursor, part, wanted) for part in ("types", "indexes", "constraints", "statistics")
    )
    return Schema(
        cursor.connection.server_version, settings["search_path"], settings["plain_order"], settings["settings"],
        relations, types, indexes, constraints, statistics,
    )  # fmt: skip


def _rows(cursor: Any, part: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    cursor.execute(query_text(f"scratch_{part}"), values)
    return all_rows(cursor)
