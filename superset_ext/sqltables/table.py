"""A table by its name, and the answer that a name cannot give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Table:
    """A table, a view or whatever else may stand in a FROM clause.

    Names are compared without case, and without catalog: two tables that differ in nothing else are taken for
    one, so that an entry is dropped too often rather than served stale.

    Attributes:
        schema: its schema, `""` where that is not known.
        name: its name.
    """

    schema: str
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", self.schema.casefold())
        object.__setattr__(self, "name", self.name.casefold())

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Unknown(Exception):
    """What is read or written cannot be known from the text."""


def table_of(parts: Sequence[str]) -> Table:
    """The table of the parts of a name, outermost first.

    Raises:
        Unknown: `a..b` is in a schema that only the server knows; `a_*` is any number of tables.
    """
    schema, name = ["", *parts][-2:]
    if not name or "*" in name or (len(parts) > 1 and not schema):
        raise Unknown(".".join(parts))
    return Table(schema, name)
