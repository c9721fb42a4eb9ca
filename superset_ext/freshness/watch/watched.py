"""What a watch is: names and states as plain data, and the names that `sql/watch` uses on the source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

SCHEMA = "superset_ext_watch"
CHANNEL = SCHEMA
LISTENER = "superset_ext listener"  # name of a listener's sessions in pg_stat_activity


class Name(NamedTuple):
    """A table of a source, as its catalog writes it."""

    schema: str
    table: str

    def __str__(self) -> str:
        """As SQL writes it."""
        return ".".join(part if re.fullmatch("[a-z_][a-z0-9_]*", part) else quoted(part) for part in self)


@dataclass(frozen=True, slots=True)
class Watched:
    """A watched table.

    Attributes:
        id: the source's number of the watch.
        name: of the table; a table that is made anew under this name is the same one.
        added_at: since when it is watched.
        notified_at: when a listener last heard that it changed, or `None` if never.
        relation: the source's number of the table, or `None` if there is none of this name.
        missing: on how many of its members (the table, its parts and parents) the trigger does not fire.
        shape: a text that changes when its definition or its parts do.
        part_of: the tables that it is a part of.
    """

    id: int
    name: Name
    added_at: datetime
    notified_at: datetime | None
    relation: int | None
    missing: int
    shape: str | None
    part_of: tuple[Name, ...]

    @property
    def intact(self) -> bool:
        """Whether every write to it is heard of."""
        return self.relation is not None and not self.missing


def quoted(name: str) -> str:
    """An identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'
