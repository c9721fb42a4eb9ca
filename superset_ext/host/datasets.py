"""Superset's datasets, by the names that its own API and people use. Needs an app context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
