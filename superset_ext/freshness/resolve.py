"""What a webhook or a command names, checked against what Superset knows: a name that is none changes nothing.

Everything here reads Superset's metadata within an app context; a table that no dataset is on is looked for in its
source.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.errors import ChangeError
from superset_ext.freshness.change import Change, Source, SourceTable
from superset_ext.settings import Operation
from superset_ext.sqltables.table import Table

logger = logging.getLogger(__name__)

_SHOWN = 5  # of many unknown names, those that a message repeats


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as somebody writes it.

    Attributes:
        database: name or id of Superset's database.
        table: its name.
        schema: its schema, `None` for the database's default one.
    """

    database: str | int
    table: str
    schema: str | None = None

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


@dataclass(frozen=True, slots=True)
class Named:
    """All that one request names.

    Attributes:
        tables: of source databases.
        datasets, charts, dashboards: ids of Superset's.
        databases: names or ids of Superset's databases of which anything may have changed.
        everything: all of it.
    """

    tables: Sequence[TableName] = ()
    databases: Sequence[str | int] = ()
    datasets: Sequence[int] = ()
    charts: Sequence[int] = ()
    dashboards: Sequence[int] = ()
    everything: bool = False


def change(named: Named, source: Source, operation: Operation, at: float | None, user_id: int | None) -> Change:
    """The change that is named.

    Raises:
        ChangeError: something that is named does not exist.
    """
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    for model, what, ids in (
        (SqlaTable, "dataset", named.datasets),
        (Slice, "chart", named.charts),
        (Dashboard, "dashboard", named.dashboards),
    ):
        _check_ids(model, what, ids)
    databases = {each: _database(each) for each in {*named.databases, *(table.database for table in named.tables)}}
    return Change(
        source,
        operation,
        tables=tuple(_table(databases[each.database], each) for each in named.tables),
        databases=tuple(databases[each].id for each in named.databases),
        datasets=tuple(named.datasets),
        charts=tuple(named.charts),
        dashboards=tuple(named.dashboards),
        everything=named.everything,
        at=at,
        user_id=user_id,
    )


def _check_ids(model: Any, what: str, ids: Collection[int]) -> None:
    from superset.extensions import db

    if not ids:
        return
    there = {row[0] for row in db.session.query(model.id).filter(model.id.in_(list(ids)))}
    if missing := sorted(set(ids) - there):
        raise ChangeError(f"{what} {_listed(missing)} does not exist; nothing was invalidated")


def _database(name: str | int) -> Any:
    from superset.extensions import db
    from superset.models.core import Database

    column = Database.id if isinstance(name, int) else Database.database_name
    found = db.session.query(Database).filter(column == name).one_or_none()
    if found is None:
        known = [row[0] for row in db.session.query(Database.database_name).order_by(Database.database_name)]
        raise ChangeError(f"Superset has no database {name!r}; it has {_listed(known)}. Nothing was invalidated")
    return found


def _table(database: Any, name: TableName) -> SourceTable:
    table = Table(name.schema or "", name.table)
    if not _is_dataset(database, table) and _is_missing(database, name):
        raise ChangeError(
            f"the database {database.database_name!r} has no table {name}; write its schema and name as the database "
            "has them. Nothing was invalidated"
        )
    return SourceTable(database.id, table)


def _is_dataset(database: Any, table: Table) -> bool:
    from sqlalchemy import func
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    query = db.session.query(SqlaTable.schema).filter(
        SqlaTable.database_id == database.id, func.lower(SqlaTable.table_name) == table.name
    )
    return any(not table.schema or (schema or "").casefold() == table.schema for (schema,) in query)


def _is_missing(database: Any, name: TableName) -> bool:
    """Whether the source says that there is none; one that does not answer says nothing."""
    from superset.sql.parse import Table as SourceName

    try:
        with database.get_inspector(schema=name.schema) as inspector:
            there = {*inspector.get_table_names(name.schema), *inspector.get_view_names(name.schema)}
            if hasattr(inspector, "get_materialized_view_names"):
                there |= set(inspector.get_materialized_view_names(name.schema))
            return name.table.casefold() not in {each.casefold() for each in there} and not database.has_table(
                SourceName(name.table, name.schema)
            )
    except Exception as error:  # noqa: BLE001  (whatever a driver raises)
        logger.info("superset_ext: %s could not be asked for its tables (%s)", database.database_name, error)
        return False


def _listed(names: Iterable[Any]) -> str:
    shown = [str(name) for name in names]
    rest = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + rest
