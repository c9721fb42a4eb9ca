"""What an entry of chart_data depends on, as the tags it carries; and how each tag is written.

| tag | carried by | stamped when |
| --- | --- | --- |
| `all` | every entry | everything is to be dropped |
| `any` | a value that does not say which SQL it came from | anything at all changed |
| `database:ID` | what was asked of this database | the database as a whole changed |
| `tables:ID` | SQL whose tables cannot be known | any table of this database changed |
| `table:ID:schema.name` | SQL that reads this table | this table changed |
| `views` | no entry; what processes remember of views and partitions | a definition may have changed |
| `usage:HITS` | what goes early unless it is read so often | never |
| `part:ID:KEY` | a grant that was made of this entry | never |
| `rule:NAME` | what follows this rule of the settings | never |
| `dataset:ID`, `chart:ID`, `dashboard:ID`, `layer:ID` | what was asked of it | it was edited, or is to be dropped |
"""

from __future__ import annotations

import re
from collections.abc import Collection

from superset_ext.events import Scope
from superset_ext.sqltables.table import Table

USAGE = "usage:"  # the number of reads follows; nobody stamps it
PART = "part:"  # an entry's id and name follow: what a grant was made of; nobody stamps it
RULE = "rule:"  # the rule's name follows; nobody stamps it
ALL = "all"
VIEWS = "views"  # carried by no entry: when what a source's tables are made of was last remembered anew
ANY = "any"
_SPECIAL = re.compile(r"[%@.\s\x00-\x1f\x7f]")


_MOST = 200  # tables of one entry; beyond, any change of their database drops it, so that a read stays cheap


def table_tags(database_id: int, tables: Collection[Table] | None) -> set[str]:
    """The tags of SQL that reads some tables of a database; `None` where they cannot be known."""
    if not tables or len(tables) > _MOST:
        return {tables_tag(database_id)}
    return {table_tag(database_id, table) for table in tables}


def source_tags(database_id: int, tables: Collection[Table], whole: Collection[Table] | None) -> set[str]:
    """The tags that a change of some tables concerns.

    Args:
        whole: these with their schemas, and the tables that they are parts of; `None` where they cannot be known.
    """
    tags = {tables_tag(database_id)} if tables or whole is None else set()
    if whole is None or not all(table.schema for table in whole):
        tags.add(object_tag("database", database_id))
    for table in {*tables, *(whole or ())}:
        # SQL that names no schema carries the table without one.
        tags |= {table_tag(database_id, table), f"table:{database_id}:.{_word(table.name)}"}
    return tags


def scope_tags(scope: Scope) -> set[str]:
    """The tags of Superset's own objects that something is asked of."""
    ids = {
        "dataset": scope.dataset_id, "database": scope.database_id, "chart": scope.chart_id,
        "dashboard": scope.dashboard_id,
    }  # fmt: skip
    return {object_tag(kind, number) for kind, number in ids.items() if number is not None}


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
    return _SPECIAL.sub(lambda character: f"%{ord(character[0]):02x}", name)
