"""From the names in a request to a `Change`. Every name is checked: one that stands for nothing is an error.

Names are looked up in Superset's metadata, so an app context is needed. A table without a dataset is looked up in its
source.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.errors import ChangeError, UnknownDatabase
from superset_ext.freshness.change import Change, Source, SourceTable
from superset_ext.host.databases import database_of, has_table
from superset_ext.settings import Operation
from superset_ext.sqltables.table import Table

logger = logging.getLogger(__name__)

_SHOWN = 5  # unknown names that an error lists
_NOTHING_DONE = "nothing was invalidated"


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as a person writes it.

    Attributes:
        database: name or id of Superset's database.
        table: its name.
        schema: its schema, or `None` for the database's default one.
    """

    database: str | int
    table: str
    schema: str | None = None

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


@dataclass(frozen=True, slots=True)
class Names:
    """Everything that one request names.

    Attributes:
        tables: source tables.
        datasets, charts, dashboards: ids of Superset's objects.
        databases: names or ids of Superset's databases in which anything may have changed.
        everything: whether everything changed.
    """

    tables: Sequence[TableName] = ()
    databases: Sequence[str | int] = ()
    datasets: Sequence[int] = ()
    charts: Sequence[int] = ()
    dashboards: Sequence[int] = ()
    everything: bool = False


def resolve(names: Names, source: Source, operation: Operation, at: float | None, user_id: int | None) -> Change:
    """The change that the names stand for.

    Raises:
        ChangeError: a name stands for nothing.
    """
    from superset_ext.host.models import Dashboard, Slice, SqlaTable

    _check_ids(SqlaTable, "dataset", names.datasets)
    _check_ids(Slice, "chart", names.charts)
    _check_ids(Dashboard, "dashboard", names.dashboards)
    named = {*names.databases, *(table.database for table in names.tables)}
    databases = {name: _database(name) for name in named}
    return Change(
        source,
        operation,
        tables=tuple(_table(databases[table.database], table) for table in names.tables),
        databases=tuple(databases[name].id for name in names.databases),
        datasets=tuple(names.datasets),
        charts=tuple(names.charts),
        dashboards=tuple(names.dashboards),
        everything=names.everything,
        at=at,
        user_id=user_id,
    )


def _check_ids(model: Any, kind: str, ids: Collection[int]) -> None:
    from superset_ext.host.models import db

    if not ids:
        return
    known = {row[0] for row in db.session.query(model.id).filter(model.id.in_(list(ids)))}
    if unknown := sorted(set(ids) - known):
        raise ChangeError(f"{kind} {_listed(unknown)} does not exist; {_NOTHING_DONE}")


def _database(name: str | int) -> Any:
    try:
        return database_of(name)
    except UnknownDatabase as error:
        raise ChangeError(f"{error}; {_NOTHING_DONE}") from None


def _table(database: Any, name: TableName) -> SourceTable:
    table = Table(name.schema or "", name.table)
    if not _is_dataset(database, table) and _is_missing(database, name):
        raise ChangeError(
            f"the database {database.database_name!r} has no table {name}; write its schema and name as the database "
            f"has them. {_NOTHING_DONE.capitalize()}"
        )
    return SourceTable(database.id, table)


def _is_dataset(database: Any, table: Table) -> bool:
    from sqlalchemy import func

    from superset_ext.host.models import SqlaTable, db

    query = db.session.query(SqlaTable.schema).filter(
        SqlaTable.database_id == database.id, func.lower(SqlaTable.table_name) == table.name
    )
    return any(not table.schema or (schema or "").casefold() == table.schema for (schema,) in query)


def _is_missing(database: Any, name: TableName) -> bool:
    """Whether the source says that it has no such table. A source that does not answer says nothing."""
    try:
        return not has_table(database, name.table, name.schema)
    except Exception as error:  # noqa: BLE001  (a driver raises what it likes)
        logger.info("superset_ext: %s could not be asked for its tables (%s)", database.database_name, error)
        return False


def _listed(names: Iterable[Any]) -> str:
    texts = [str(name) for name in names]
    rest = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + rest
