"""`cache_watch`: the tables that are to be watched. The listener puts back on the source what is missing there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from superset_ext.core.log_database import LogDatabase
from superset_ext.freshness.watch.watched import Name

_WANTED = "SELECT database_id, schema_name, table_name FROM superset_ext.cache_watch ORDER BY 1, 2, 3"
_REMEMBER = """
INSERT INTO superset_ext.cache_watch (database_id, schema_name, table_name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_FORGET = "DELETE FROM superset_ext.cache_watch WHERE database_id = %s AND schema_name = %s AND table_name = %s"


def wanted(log: LogDatabase) -> Mapping[int, set[Name]]:
    """The tables to watch, by Superset's id of their database."""
    names: dict[int, set[Name]] = {}
    for row in log.rows(_WANTED):
        names.setdefault(row["database_id"], set()).add(Name(row["schema_name"], row["table_name"]))
    return names


def remember(log: LogDatabase, database_id: int, names: Collection[Name]) -> None:
    """These tables are to be watched."""
    _run_for_names(log, _REMEMBER, database_id, names)


def forget(log: LogDatabase, database_id: int, names: Collection[Name]) -> None:
    """These tables are not to be watched any more."""
    _run_for_names(log, _FORGET, database_id, names)


def _run_for_names(log: LogDatabase, statement: str, database_id: int, names: Collection[Name]) -> None:
    with log.transaction() as cursor:
        for name in names:
            cursor.execute(statement, (database_id, *name))
