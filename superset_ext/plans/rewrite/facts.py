"""What a rule has to know of the source: columns, types, keys, sizes. An inspector reads it from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from superset_ext.compat import StrEnum


class Kind(StrEnum):
    """A type, as far as a rule cares.

    `DECIMAL` has a scale of its own, so that equal numbers look the same; `NUMERIC` has none. `OTHER` is a type of
    which nothing is known: of no use to any rule.
    """

    INTEGER = "integer"
    DECIMAL = "decimal"
    NUMERIC = "numeric"
    FLOAT = "float"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamp with time zone"
    UUID = "uuid"
    OTHER = "other"


@dataclass(frozen=True)
class Column:
    """A column, of a relation or of a subquery.

    Attributes:
        identical: whether equal values are the same value. −0 and 0, or 1.0 and 1.00, are equal and look different.
        distinct: how many values there are, by the source's statistics.
        leads_index: whether an index begins with it.
        table: the relation's name, where it is a column of one.
    """

    name: str
    kind: Kind
    nullable: bool = True
    identical: bool = True
    distinct: float | None = None
    leads_index: bool = False
    table: str | None = None


@dataclass(frozen=True)
class Relation:
    """A table or a view.

    Attributes:
        rows: about how many there are, `None` where the source does not know.
        keys: sets of columns of which no two rows have the same values, NULL aside.
    """

    name: str
    columns: Mapping[str, Column]
    rows: float | None = None
    keys: frozenset[frozenset[str]] = frozenset()


class Facts(Protocol):
    """A source's catalogue, as a rule asks it.

    Attributes:
        engine: `postgres` or `duckdb`, as sqlglot calls them.
    """

    engine: str

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """A table or a view by its name, `None` where there is none or it cannot be known."""
