"""The upkeep of Superset's databases, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superset_ext.errors import AdviceError, WatchError
from superset_ext.host.databases import databases_of_people
from superset_ext.plans.indexes.source import reading, source_of
from superset_ext.plans.upkeep.examine import Upkeep, examine


@dataclass(frozen=True, slots=True)
class SourceUpkeep:
    """What one of Superset's databases needs.

    Attributes:
        number: its id in Superset.
        upkeep: `None` where it could not be asked.
        error: why; else empty.
    """

    number: int
    database: str
    upkeep: Upkeep | None
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        if self.upkeep is None:
            return {"database": self.database, "error": self.error}
        return {
            "database": self.database,
            "findings": [finding.as_dict() for finding in self.upkeep.findings],
            "unseen": [unseen.as_dict() for unseen in self.upkeep.unseen],
        }


def upkeep_of(app: Any, named: str | None) -> list[SourceUpkeep]:
    """What the database that somebody names needs, or each that is PostgreSQL. Needs an app context.

    Raises:
        UnknownDatabase: there is none of that name.
        AdviceError: the one that is named is not PostgreSQL 14 or later, or does not answer.
        WatchError: it cannot be connected to.
    """
    if named is not None:
        number, name = source_of(named, "upkeep is looked at")
        return [SourceUpkeep(number, name, _examined(app, number))]
    return [_or_why(app, number, name) for number, name in databases_of_people("postgresql")]


def _or_why(app: Any, number: int, name: str) -> SourceUpkeep:
    try:
        return SourceUpkeep(number, name, _examined(app, number))
    except (AdviceError, WatchError) as error:
        return SourceUpkeep(number, name, None, str(error))


def _examined(app: Any, number: int) -> Upkeep:
    with reading(app, number) as cursor:
        return examine(cursor)
