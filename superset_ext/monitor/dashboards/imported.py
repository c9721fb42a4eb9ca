"""The assets as Superset has them: found by UUID, written, and compared. All need an app context."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from superset_ext.errors import SupersetExtError
from superset_ext.host import importers
from superset_ext.monitor.dashboards.bundle import Asset, assets

# Superset writes these by itself when somebody opens a chart or a dashboard, and `connect_as` the URL.
_NOT_AN_EDIT = {"query_context", "sqlalchemy_uri"}
_NOT_AN_EDIT_OF_METADATA = {"map_label_colors", "shared_label_colors", "color_scheme_domain"}
# Superset's importers take a database or dashboard of this name, whatever its UUID, for the one that they import.
_UNIQUE = {"database": "database_name", "dashboard": "slug"}
_PARENTS = {"dataset": "database", "chart": "dataset"}


class AssetError(SupersetExtError):
    """The dashboards cannot be installed."""


def find(asset: Asset) -> Any | None:
    """Superset's model of an asset, or `None` if there is none."""
    return _find(asset.kind, asset.uuid)


def find_all(kind: str) -> dict[str, Any]:
    """Superset's models of the assets of a kind, as far as they exist, by UUID."""
    models = {asset.uuid: find(asset) for asset in assets() if asset.kind == kind}
    return {uuid: model for uuid, model in models.items() if model is not None}


def has_parent(asset: Asset) -> bool:
    """Whether Superset has the database of a dataset, or the dataset of a chart; true of other assets."""
    kind = _PARENTS.get(asset.kind)
    return kind is None or _find(kind, str(asset.parent)) is not None


def database_url() -> str | None:
    """The URL with its password that the dashboards' database has in Superset; `None` if there is no database."""
    model = next(iter(find_all("database").values()), None)
    return None if model is None else str(model.sqlalchemy_uri_decrypted)


def write(asset: Asset, url: str) -> Any:
    """Import one asset over what exists of it, and return Superset's model of it.

    Args:
        url: what a database connects to.

    Raises:
        AssetError: Superset has something else of its name.
    """
    _refuse_namesake(asset)
    config = asset.copy()
    if asset.kind == "database":
        return importers.import_database(config, url)
    if asset.kind == "dataset":
        database = _find("database", config["database_uuid"])
        return importers.import_dataset(config, None if database is None else database.id)
    if asset.kind == "chart":
        return importers.import_chart(config, find_all("dataset")[config["dataset_uuid"]])
    return importers.import_dashboard(config, find_all("chart"), find_all("dataset"))


def connect_as(model: Any, url: str) -> None:
    """Set the URL of a database; a new password, or the administrator's new URL, is no edit."""
    if model.sqlalchemy_uri_decrypted != url:
        model.set_sqlalchemy_uri(url)


def export_hash(model: Any, kind: str) -> str:
    """SHA-256 of what Superset exports of an asset, without what Superset changes by itself."""
    from superset_ext.host.models import db

    db.session.flush()
    db.session.refresh(model)
    exported = model.export_to_dict(
        recursive=kind == "dataset", include_parent_ref=False, include_defaults=True, export_uuids=True
    )
    kept = {key: _ordered(value) for key, value in exported.items() if key not in _NOT_AN_EDIT}
    if kind == "dashboard":
        metadata = json.loads(kept["json_metadata"] or "{}")
        kept["json_metadata"] = {key: metadata[key] for key in metadata.keys() - _NOT_AN_EDIT_OF_METADATA}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def _ordered(value: Any) -> Any:
    """Columns and metrics come in any order."""
    if isinstance(value, list):
        return sorted(value, key=lambda part: json.dumps(part, sort_keys=True, default=str))
    return value


def _find(kind: str, uuid: str) -> Any | None:
    from superset_ext.host.models import db

    return db.session.query(_models()[kind]).filter_by(uuid=uuid).one_or_none()


def _models() -> Mapping[str, Any]:
    from superset_ext.host.models import Dashboard, Database, Slice, SqlaTable

    return {"database": Database, "dataset": SqlaTable, "chart": Slice, "dashboard": Dashboard}


def _refuse_namesake(asset: Asset) -> None:
    from superset_ext.host.models import db

    column = _UNIQUE.get(asset.kind)
    if column is None:
        return
    model, name = _models()[asset.kind], asset.config[column]
    other = db.session.query(model).filter(getattr(model, column) == name, model.uuid != asset.uuid).first()
    if other is not None:
        raise AssetError(
            f"Superset has another {asset.kind} with the {column.replace('_', ' ')} {name!r}; change that,"
            " then run: superset perf dashboards install"
        )
