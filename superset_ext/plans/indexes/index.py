"""An index as plain data, and the statements that make it and take it away."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

_NAME_BYTES = 63  # of a name in PostgreSQL
_HASH = 8
_WORDS = re.compile(r"\W+")


class TableName(NamedTuple):
    """A table's name with its schema."""

    schema: str
    name: str

    def __str__(self) -> str:
        """As SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


class Key(NamedTuple):
    """What an index is ordered by: a column, or an expression over columns.

    Attributes:
        text: the column's name, or the expression as SQL.
        columns: those of the expression; empty for a column itself.
    """

    text: str
    columns: tuple[str, ...] = ()

    @property
    def is_expression(self) -> bool:
        """Whether it is more than a column."""
        return bool(self.columns)

    def __str__(self) -> str:
        """As it stands in CREATE INDEX."""
        return f"({self.text})" if self.is_expression else quoted(self.text)


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is there, or that could be.

    Attributes:
        include: columns that are stored and not ordered by.
        where: the condition of a partial index, as SQL.
        method: btree or brin.
    """

    table: TableName
    keys: tuple[Key, ...]
    include: tuple[str, ...] = ()
    where: str | None = None
    method: str = "btree"

    @property
    def columns(self) -> frozenset[str]:
        """The columns whose values can be read from it."""
        return frozenset((*(key.text for key in self.keys if not key.is_expression), *self.include))

    @property
    def name(self) -> str:
        """A name for it that no other definition gets."""
        words = [self.table.name, *(key.text for key in self.keys), *(("incl", *self.include) if self.include else ())]
        words += [self.method] * (self.method != "btree") + ["part"] * (self.where is not None)
        plain = _WORDS.sub("_", "_".join(words).lower()).strip("_")
        digest = hashlib.sha256(self.definition.encode()).hexdigest()[:_HASH]
        return f"ix_{plain[: _NAME_BYTES - _HASH - 4].rstrip('_')}_{digest}"

    @property
    def definition(self) -> str:
        """What follows the name in CREATE INDEX."""
        keys = ", ".join(map(str, self.keys))
        include = f" INCLUDE ({', '.join(map(quoted, self.include))})" if self.include else ""
        where = f" WHERE {self.where}" if self.where else ""
        return f"ON {self.table} USING {self.method} ({keys}){include}{where}"

    @property
    def create(self) -> str:
        """The statement that makes it without locking writers out."""
        return f"CREATE INDEX CONCURRENTLY {quoted(self.name)} {self.definition};"

    @property
    def drop(self) -> str:
        """The statement that takes it away again."""
        return f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(self.table.schema)}.{quoted(self.name)};"

    def extends(self, other: Index) -> bool:
        """Whether whatever the other one answers, this one answers too."""
        same = (self.table, self.method, self.where) == (other.table, other.method, other.where)
        begins = self.keys[: len(other.keys)] == other.keys
        return same and self != other and begins and set(other.include) <= self.columns


def quoted(name: str) -> str:
    """A name in the quotes of SQL."""
    return '"' + name.replace('"', '""') + '"'
