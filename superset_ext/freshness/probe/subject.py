"""What a probe is about, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superset_ext.errors import SupersetExtError
from superset_ext.freshness.change import SourceTable
from superset_ext.sqltables.table import Table

POSTGRESQL = "postgresql"  # Superset's name of the engine


class ProbeFailed(SupersetExtError):
    """A source cannot be asked, or its answer is none."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What changed if the answer of a probe did.

    Attributes:
        name: of the probe, as messages write it.
        database_id: Superset's id of the database.
        tables: the source table; empty for a virtual dataset.
        dataset_id: Superset's id of the dataset, or `None` if the probe names a table.
    """

    name: str
    database_id: int
    tables: tuple[SourceTable, ...] = ()
    dataset_id: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where the data of a probe comes from.

    Attributes:
        database: Superset's `Database`.
        catalog, schema: of the table; `""` if they are not known.
        table: name of the table, or of the dataset.
        sql: of a virtual dataset, or `None`.
        dataset_id: Superset's id of the dataset, or `None`.
    """

    database: Any
    catalog: str
    schema: str
    table: str
    sql: str | None = None
    dataset_id: int | None = None

    def __repr__(self) -> str:
        """Everything that makes it another source. Digests of answers contain this."""
        database = self.database
        return repr((database.id, database.sqlalchemy_uri, self.catalog, self.schema, self.table, self.sql))

    @property
    def engine(self) -> str:
        """Superset's name of the engine."""
        return str(self.database.db_engine_spec.engine)

    def probed(self, name: str) -> Probed:
        """What changes with it, for a probe of this name."""
        table = SourceTable(self.database.id, Table(self.schema, self.table))
        return Probed(name, self.database.id, () if self.sql else (table,), self.dataset_id)
