"""The catalogue of a source: which aggregates there are, and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from superset_ext.aggregates.tables.definition import Definition, restored, stored
from superset_ext.aggregates.view import View
from superset_ext.core.log_database import all_rows
from superset_ext.core.sql_folder import sql_folder
from superset_ext.errors import AggregateError, SchemaError

_INSTALLED = "SELECT obj_description(to_regnamespace('superset_ext_aggregates'), 'pg_namespace')"
VERSION = "superset_ext: aggregates, version 2"
_ROWS = """
SELECT c.*, s.is_exact, clock_timestamp() AS now
FROM superset_ext_aggregates.catalogue c JOIN superset_ext_aggregates.state() s USING (name) ORDER BY c.name
"""
_BEGIN = """
INSERT INTO superset_ext_aggregates.catalogue
    (name, digest, definition, path, base_schema, base_name, base_columns, upkeep, every_seconds, tail_key,
     late_seconds, filters, state)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'building')
"""


@dataclass(frozen=True)
class Kept:
    """An aggregate of a source.

    Attributes:
        state: `building`, `ready` or `off`.
        reason: why it is off, or why its last refresh failed; empty where all is well.
        version: counts its refreshes.
        as_of: everything that had been committed by then is in it, by the source's clock.
        is_exact: whether it has what its query gives, for all that had been committed when this was read.
        anchor: what the base and our triggers were when it was made.
        age_seconds: since `as_of`.
        bytes: its size with indexes.
        seconds: that its last refresh took.
    """

    definition: Definition
    state: str
    reason: str
    version: int
    as_of: datetime | None
    is_exact: bool
    anchor: str | None
    age_seconds: float | None
    bytes: int | None
    seconds: float | None
    built_at: datetime | None
    refreshed_at: datetime | None
    checked_at: datetime | None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.definition.name

    @property
    def view(self) -> View:
        """What answers statements."""
        return self.definition.view


def files() -> list[str]:
    """The texts that make the schema.

    Raises:
        SchemaError: they are not there.
    """
    paths = sorted((sql_folder() / "aggregates").glob("[0-9][0-9]_*.sql"))
    if not paths:
        raise SchemaError("no files in sql/aggregates; mount the package's folder sql beside superset_ext")
    return [path.read_text(encoding="utf-8") for path in paths]


def is_installed(cursor: Any) -> bool:
    """Whether the schema is there, of this version."""
    cursor.execute(_INSTALLED)
    return bool(cursor.fetchone()[0] == VERSION)


def kept(cursor: Any) -> list[Kept]:
    """All aggregates of a source, by one statement; none where the schema is not there."""
    if not is_installed(cursor):
        return []
    cursor.execute(_ROWS)
    return [_kept(row) for row in all_rows(cursor)]


def named(cursor: Any, name: str) -> Kept:
    """The aggregate of a name.

    Raises:
        AggregateError: there is none.
    """
    for one in kept(cursor):
        if one.name == name:
            return one
    raise AggregateError(f"there is no aggregate {name}; see: superset perf aggregates list")


def begin_text(definition: Definition) -> tuple[str, Sequence[Any]]:
    """The statement, with its values, that writes down that an aggregate is being built."""
    schema, table = definition.base or (None, None)
    return _BEGIN, (
        definition.name, definition.digest, json.dumps(stored(definition.view)), list(definition.path), schema, table,
        definition.base_columns, definition.upkeep, definition.every_seconds, definition.tail, definition.late_seconds,
        list(definition.filters),
    )  # fmt: skip


def _kept(row: dict[str, Any]) -> Kept:
    view = restored(row["name"], row["definition"], row["types"], row["rows"], row["distinct_values"])
    base = (row["base_schema"], row["base_name"]) if row["base_name"] is not None else None
    definition = Definition(
        row["name"], view, tuple(row["path"]), base, tuple(row["filters"]), row["upkeep"], row["every_seconds"],
        row["tail_key"], row["late_seconds"],
    )  # fmt: skip
    age = None if row["as_of"] is None else (row["now"] - row["as_of"]).total_seconds()
    return Kept(
        definition, row["state"], row["reason"], row["version"], row["as_of"], row["is_exact"], row["anchor"], age,
        row["bytes"], row["seconds"], row["built_at"], row["refreshed_at"], row["checked_at"],
    )  # fmt: skip
