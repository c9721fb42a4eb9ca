"""What each engine does for its aggregates, so that commands, REST and upkeep are the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.tables.checking import Checked
from superset_ext.aggregates.tables.definition import Definition, Upkeep
from superset_ext.aggregates.tables.renewing import Refreshed
from superset_ext.aggregates.view import View


class Source(Protocol):
    """One of Superset's databases, whose aggregates are built, brought up to date, compared, listed and dropped.

    Attributes:
        upkeep: how an aggregate is kept up there that says nothing else.

    All of it raises `AggregateError` where the source refuses, and `WatchError` where it does not answer.
    """

    upkeep: Upkeep

    def path(self, schema: str | None) -> tuple[str, ...]:
        """Where names without a schema are looked up, as a dataset of this schema has it."""
        ...

    def view_of(self, sql: str, path: Sequence[str]) -> View:
        """The aggregate that answers a statement."""
        ...

    def planned(self, definition: Definition) -> tuple[Definition, list[str]]:
        """A definition with its base as the source has it, and the statements of its build.

        Raises:
            Unnoted: changes of its base cannot be noted.
        """
        ...

    def build(self, definition: Definition, lock_seconds: float) -> Refreshed:
        """Build one; it waits for writers as long as that."""
        ...

    def refresh(self, name: str, whole: bool) -> Refreshed:
        """Bring one up to date; all of it, whatever has changed, where `whole`.

        Raises:
            Busy: another run is at it.
        """
        ...

    def check(self, name: str) -> Checked:
        """Bring one up to date and compare all of it with its base; switch it off if it differs."""
        ...

    def drop(self, name: str, lock_seconds: float) -> None:
        """Take one away; with the last one, everything of ours."""
        ...

    def drop_all(self) -> list[str]:
        """Take all away, with everything of ours; their names."""
        ...

    def kept(self) -> list[Kept]:
        """All, as they are at this moment."""
        ...
