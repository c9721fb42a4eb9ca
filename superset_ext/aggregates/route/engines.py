"""What is of one engine alone where charts are answered from aggregates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from superset_ext.aggregates.route import duckdb, guard, postgresql
from superset_ext.aggregates.route.guard import Held
from superset_ext.aggregates.route.looked import Known, Looked
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.view import View
from superset_ext.errors import AdviceError
from superset_ext.host.databases import database_of


class Look(Protocol):
    """Looks at one of Superset's databases: what answers charts there, and all of its aggregates.

    Raises:
        SupersetExtError: it does not answer, or can have none.
    """

    def __call__(self, app: Any, database_id: int, /) -> tuple[Looked, list[Kept]]:
        """Look."""
        ...


class Hold(Protocol):
    """Looks at an aggregate right before a text is sent to the cursor, and limits what follows to so many milliseconds
    where the engine can.

    Raises:
        NotHeld: it may not be read for this statement.
    """

    def __call__(
        self, cursor: Any, known: Known, view: View, looked: tuple[str, str], sql: str, ms: int, /
    ) -> Held:  # fmt: skip
        """Look."""
        ...


@dataclass(frozen=True)
class Engine:
    """An engine on which charts are answered from aggregates."""

    look: Look
    hold: Hold


ENGINES: Mapping[str, Engine] = {
    "postgresql": Engine(postgresql.look, guard.hold),
    "duckdb": Engine(duckdb.look, duckdb.hold),
}


def look(app: Any, database_id: int) -> tuple[Looked, list[Kept]]:
    """Look at one of Superset's databases, whatever engine it is of.

    Raises:
        SupersetExtError: it does not answer, or its engine has no aggregates.
    """
    with app.app_context():
        engine = str(database_of(database_id).db_engine_spec.engine)
    if engine not in ENGINES:
        raise AdviceError(f"{engine} has no aggregates")
    return ENGINES[engine].look(app, database_id)
