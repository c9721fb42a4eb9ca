"""Which code proposes aggregates for a database, by its engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from superset_ext.aggregates.files.source import DuckDBSource
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.propose import duckdb
from superset_ext.aggregates.propose.asks import Asked
from superset_ext.aggregates.propose.considering import Proposed
from superset_ext.aggregates.propose.proposals import propose
from superset_ext.aggregates.tables.catalogue import kept
from superset_ext.aggregates.tables.definition import Upkeep
from superset_ext.aggregates.tables.source import PostgreSQLSource
from superset_ext.host.databases import database_of
from superset_ext.plans.indexes.source import reading


class Propose(Protocol):
    """Proposes aggregates for one of Superset's databases, within a budget of bytes.

    Raises:
        SupersetExtError: the source does not answer, or refuses.
    """

    def __call__(
        self, app: Any, number: int, asked: Sequence[Asked], budget: float | None, allowed: Allowed, /
    ) -> Proposed:  # fmt: skip
        """Propose."""
        ...


def _postgresql(app: Any, number: int, asked: Sequence[Asked], budget: float | None, allowed: Allowed) -> Proposed:
    with reading(app, number) as cursor:
        held = [one.view for one in kept(cursor) if one.state == "ready"]
        return propose(cursor, asked, budget, allowed, held)


_ENGINES: Mapping[str, tuple[Propose, Upkeep]] = {
    "postgresql": (_postgresql, PostgreSQLSource.upkeep),
    "duckdb": (duckdb.propose, DuckDBSource.upkeep),
}


def propose_of(number: int) -> tuple[Propose, Upkeep]:
    """What proposes aggregates for a database that can have some, and how these are mostly kept up. Needs an app
    context."""
    return _ENGINES[str(database_of(number).db_engine_spec.engine)]
