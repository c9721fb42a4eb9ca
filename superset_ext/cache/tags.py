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

from superset_ext.sqltables.table import Table

USAGE = "usage:"  # the number of reads follows; nobody stamps it
RULE = "rule:"  # the rule's name follows; nobody stamps it
ALL = "all"
ANY = "any"
_SPECIAL = re.compile(r"[%@.\s\x00-\x1f\x7f]")


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
