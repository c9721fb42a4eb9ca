"""Superset's datasets, by the names that its own API and people use. Needs an app context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superset_ext.host.metadata import metadata_rows


def datasets_in_cachekey_request(body: Any) -> list[int]:
    """Ids of the datasets that the body of a request to `POST /api/v1/cachekey/invalidate` names, in order."""
    from superset.cachekeys.schemas import CacheInvalidationRequestSchema

    names: dict[str, Any] = CacheInvalidationRequestSchema().load(body)
    uids = [uid.split("__")[0] for uid in names.get("datasource_uids", [])]
    ids = {int(uid) for uid in uids if uid.isdigit()}
    for name in names.get("datasources", []):
        ids |= _ids_of(name)
    return sorted(ids)


def _ids_of(name: Mapping[str, Any]) -> set[int]:
    """Datasets of a name. Without a catalog any one matches, for scripts from before there were catalogs."""
    from superset_ext.host.models import Database, SqlaTable, db

    query = db.session.query(SqlaTable.id).join(Database, SqlaTable.database_id == Database.id)
    query = query.filter(Database.database_name == name.get("database_name"))
    query = query.filter(SqlaTable.table_name == name.get("datasource_name"))
    for part in ("schema", "catalog"):
        if name.get(part):
            query = query.filter(getattr(SqlaTable, part) == name[part])
    return {row[0] for row in query}


def datasets_named(named: int | str, database_id: int) -> list[Any]:
    """The datasets of a database with this id, or this name as in `schema.name`."""
    from superset_ext.host.models import SqlaTable, db

    rows = db.session.query(SqlaTable).filter(SqlaTable.database_id == database_id)
    if isinstance(named, int):
        return list(rows.filter(SqlaTable.id == named))
    return [row for row in rows if named == (f"{row.schema}." if row.schema else "") + row.table_name]


def manual_timeouts() -> dict[int, float]:
    """The cache timeouts in seconds that people have set for a dataset or for its database, by the dataset's id."""
    rows = metadata_rows(
        "SELECT tables.id, tables.cache_timeout, dbs.cache_timeout FROM tables JOIN dbs ON dbs.id = tables.database_id"
    )
    seconds = {dataset: own if own is not None else of_database for dataset, own, of_database in rows}
    return {dataset: float(value) for dataset, value in seconds.items() if value is not None}
