"""What an entry of chart_data depends on, as the tags it carries; and how each tag is written.

| tag | carried by | stamped when |
| --- | --- | --- |
| `all` | every entry | everything is to be dropped |
| `any` | a value that does not say which SQL it came from | anything at all changed |
| `database:ID` | what was asked of this database | the database as a whole changed |
| `tables:ID` | SQL whose tables cannot be known | any table of this database changed |
| `table:ID:schema.name` | SQL that reads this table | this table changed |
| `usage:HITS` | what goes early unless it is read so often | never |
| `rule:NAME` | what follows this rule of the settings | never |
| `dataset:ID`, `chart:ID`, `dashboard:ID`, `layer:ID` | what was asked of it | it was edited, or is to be dropped |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

USAGE = "usage:"  # the number of reads follows; nobody stamps it
RULE = "rule:"  # the rule's name follows; nobody stamps it
ALL = "all"
ANY = "any"
_SPECIAL = re.compile(r"[%@.\s\x00-\x1f\x7f]")


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


def table_tag(database_id: int, table: Table) -> str:
    """The tag of a table."""
    return f"table:{database_id}:{_word(table.schema)}.{_word(table.name)}"


def tables_tag(database_id: int) -> str:
    """The tag of SQL whose tables cannot be known."""
    return f"tables:{database_id}"


def object_tag(kind: str, number: int) -> str:
    """The tag of one of Superset's own: `database`, `dataset`, `chart`, `dashboard` or `layer`."""
    return f"{kind}:{number}"


def _word(name: str) -> str:
    """A name without the characters that separate names and tags, and without those that are no text."""
    name = name.encode(errors="replace").decode()
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02x}", name)
