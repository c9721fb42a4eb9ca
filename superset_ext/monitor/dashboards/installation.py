"""Installs the built-in dashboards into Superset, and updates those that nobody has edited.

Superset's own import commands either leave everything that exists as it is or overwrite it. Here each
asset is decided by itself: what Superset had after the last install is kept as a hash, and an asset
that differs from it now was edited by a person and is left to them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from superset_ext.core.log_database import LogDatabase, log_url
from superset_ext.core.schema import SCHEMA_SECONDS
from superset_ext.errors import LogUnavailable, SupersetExtError
from superset_ext.monitor.dashboards import reader, viewers
from superset_ext.monitor.dashboards.bundle import KINDS, Asset, assets
from superset_ext.settings import PREFIX, Settings

Outcome = Literal["created", "updated", "unchanged", "edited", "deleted"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_WRITTEN = ("created", "updated")
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.installed_asset', 0))"
_KNOWN = "SELECT uuid::text, bundle_hash, export_hash FROM superset_ext.installed_asset"
_KEEP = """
INSERT INTO superset_ext.installed_asset (uuid, kind, bundle_hash, export_hash) VALUES (%s, %s, %s, %s)
ON CONFLICT (uuid) DO UPDATE SET bundle_hash = excluded.bundle_hash, export_hash = excluded.export_hash,
    installed_at = now()
"""
# Superset writes these by itself when somebody opens a chart or a dashboard, and `_connect_as` the URL.
_NOT_AN_EDIT = {"query_context", "sqlalchemy_uri"}
_NOT_AN_EDIT_OF_METADATA = {"map_label_colors", "shared_label_colors", "color_scheme_domain"}


class AssetError(SupersetExtError):
    """The dashboards cannot be installed."""


@dataclass
class Installed:
    """What became of each asset, by name.

    Attributes:
        created: was not there.
        updated: nobody had edited it, and the package brings another one.
        unchanged: is what the package brings.
        edited: differs from what was installed, and was left as it is.
        deleted: was installed and is gone, or stands on something that is; it was not put back.
    """

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What a person is told: a line of counts, and the names of what was left alone."""
        counts = [f"{len(getattr(self, each))} {each}" for each in OUTCOMES if getattr(self, each)]
        left = [
            f"Left as they are, since they were {each} in Superset: {', '.join(getattr(self, each))}."
            for each in ("edited", "deleted")
            if getattr(self, each)
        ]
        return [f"Dashboards and what they stand on: {', '.join(counts)}.", *left]


def install(
    app: Any, database: LogDatabase, settings: Settings, reader_url: str | None = None, restore: bool = False
) -> Installed:
    """Bring the dashboards into Superset, one asset at a time; what a person has edited or deleted stays so.

    Any number of processes may do so at once: one works, the others wait and find it done. The tables of the
    log have to be there.

    Args:
        reader_url: URL of a role that may do nothing but read; without one, a role is made.
        restore: put back what was edited or deleted, too.

    Raises:
        ReaderError: the role may not be made; the line says what to set.
        AssetError: Superset refuses an asset.
        LogUnavailable: the log database does not answer.
    """
    base = log_url(settings, str(app.config["SQLALCHEMY_DATABASE_URI"]))
    if base is None:
        raise AssetError(f"the dashboards need a log database; set {PREFIX}LOG_DATABASE_URL to a PostgreSQL URL")
    # A context of its own, in which nobody is logged in: what is installed has no owner.
    with app.app_context(), database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute(_LOCK)
        url = reader.ensure(database, base, reader_url, present_url())
        return _Install(cursor, url, restore).run()


def remove(app: Any, database: LogDatabase) -> list[str]:
    """Take the dashboards and all that was made for them out of Superset and the log database; returns their names.

    Raises:
        AssetError: Superset refuses, as where an alert or a chart of somebody's stands on one of them.
        LogUnavailable: the log database does not answer.
    """
    with app.app_context(), database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute(_LOCK)
        removed = _remove_all()
        cursor.execute("DELETE FROM superset_ext.installed_asset")
    reader.drop(database)
    return removed


def _remove_all() -> list[str]:
    from superset import db

    found = [(asset.name, model) for asset in reversed(assets()) if (model := _find(asset)) is not None]
    try:
        viewers.remove()
        for _, model in found:
            db.session.delete(model)
            db.session.flush()
        db.session.commit()
    except Exception as error:
        db.session.rollback()
        raise AssetError(f"Superset does not let go of the dashboards: {error}") from error
    return [name for name, _ in found]


def present_url() -> str | None:
    """The URL with its password that the dashboards' database has in Superset."""
    model = next((_find(each) for each in assets() if each.kind == "database"), None)
    return None if model is None else str(model.sqlalchemy_uri_decrypted)


class _Install:
    """One install, within one transaction of Superset's metadata and one of the log."""

    def __init__(self, cursor: Any, url: str, restore: bool) -> None:
        cursor.execute(_KNOWN)
        self.known: dict[str, tuple[str, str]] = {uuid: (was, found) for uuid, was, found in cursor.fetchall()}
        self.cursor, self.url, self.restore = cursor, url, restore
        self.done = Installed()
        self.new: dict[str, list[Any]] = {kind: [] for kind in KINDS}

    def run(self) -> Installed:
        from superset import db

        try:
            for asset in assets():
                self._asset(asset)
            self._rights()
            # Superset's commit first, the log's with the end of its transaction: the worst that a crash between them
            # does is that assets are taken for edited, and left alone.
            db.session.commit()
        except LogUnavailable:
            db.session.rollback()
            raise
        except Exception as error:  # whatever Superset's importers raise
            db.session.rollback()
            raise AssetError(f"Superset refuses the dashboards: {error}") from error
        return self.done

    def _asset(self, asset: Asset) -> None:
        outcome = self._outcome(asset)
        getattr(self.done, outcome).append(asset.name)
        if outcome in _WRITTEN:
            model = _write(asset, self.url)
            self._keep(asset.uuid, asset.kind, asset.digest, fingerprint(model, asset.kind))
            if outcome == "created":
                self.new[asset.kind].append(model)
        if asset.kind == "database" and outcome != "deleted":
            _connect_as(_find(asset), self.url)

    def _outcome(self, asset: Asset) -> Outcome:
        model, known = _find(asset), self.known.get(asset.uuid)
        if model is None:
            return "deleted" if (known and not self.restore) or not _stands(asset) else "created"
        if known is not None and fingerprint(model, asset.kind) == known[1]:
            return "unchanged" if known[0] == asset.digest else "updated"
        # Superset commits a database while it is imported: one that is not known is what a broken-off install left.
        half_done = known is None and asset.kind == "database"
        return "updated" if self.restore or half_done else "edited"

    def _keep(self, uuid: str, kind: str, installed: str, found: str) -> None:
        self.cursor.execute(_KEEP, (uuid, kind, installed, found))

    def _rights(self) -> None:
        """The role and the rule, where something is new; after that they are the administrator's."""
        if not self.new["dataset"] and not self.new["dashboard"]:
            return
        role = viewers.viewer()
        viewers.open_to(role, self.new["dataset"])
        if viewers.RULE_UUID not in self.known or viewers.find_rule() is not None:
            viewers.close_to_others(role, self.new["dataset"])
            self._keep(viewers.RULE_UUID, "rule", "", "")
        for dashboard in self.new["dashboard"]:
            dashboard.roles = [role]


def fingerprint(model: Any, kind: str) -> str:
    """SHA-256 of what Superset has of an asset, as it exports it."""
    from superset import db

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
        return sorted(value, key=lambda each: json.dumps(each, sort_keys=True, default=str))
    return value


def _find(asset: Asset) -> Any | None:
    return _find_uuid(asset.kind, asset.uuid)


def _find_uuid(kind: str, uuid: str) -> Any | None:
    from superset import db

    return db.session.query(_models()[kind]).filter_by(uuid=uuid).one_or_none()


def _models() -> Mapping[str, Any]:
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    return {"database": Database, "dataset": SqlaTable, "chart": Slice, "dashboard": Dashboard}


def _stands(asset: Asset) -> bool:
    """Whether what an asset is made on is there."""
    parent = {"dataset": "database", "chart": "dataset"}.get(asset.kind)
    return parent is None or _find_uuid(parent, str(asset.parent)) is not None


def _write(asset: Asset, url: str) -> Any:
    """Import one asset over what there is of it, as Superset's own commands do."""
    _refuse_namesake(asset)
    return _WRITERS[asset.kind](asset.copy(), url)


def _refuse_namesake(asset: Asset) -> None:
    """Superset's importers take a database of the same name, or a dashboard of the same slug, for the one meant.

    Raises:
        AssetError: there is one, which is not ours.
    """
    from superset import db

    unique = {"database": "database_name", "dashboard": "slug"}.get(asset.kind)
    if unique is None:
        return
    model = _models()[asset.kind]
    name = asset.config[unique]
    other = db.session.query(model).filter(getattr(model, unique) == name, model.uuid != asset.uuid).first()
    if other is not None:
        raise AssetError(
            f"Superset has another {asset.kind} with the {unique.replace('_', ' ')} {name!r}; change that,"
            " then run: superset perf dashboards install"
        )


def _write_database(config: dict[str, Any], url: str) -> Any:
    from superset.commands.database.importers.v1.utils import import_database

    config["sqlalchemy_uri"] = url
    return import_database(config, overwrite=True, ignore_permissions=True)


def _write_dataset(config: dict[str, Any], _url: str) -> Any:
    from superset.commands.dataset.importers.v1.utils import import_dataset

    found = _find_uuid("database", config["database_uuid"])
    config["database_id"] = found.id if found is not None else None
    return import_dataset(config, overwrite=True, ignore_permissions=True)


def _write_chart(config: dict[str, Any], _url: str) -> Any:
    from superset.commands.chart.importers.v1.utils import import_chart
    from superset.commands.utils import update_chart_config_dataset

    made = update_chart_config_dataset(config, _dataset_info()[config["dataset_uuid"]])
    return import_chart(made, overwrite=True, ignore_permissions=True)


def _write_dashboard(config: dict[str, Any], _url: str) -> Any:
    from superset import db
    from superset.commands.dashboard.importers.v1.utils import find_chart_uuids, import_dashboard, update_id_refs

    charts = {asset.uuid: model for asset in assets() if asset.kind == "chart" and (model := _find(asset)) is not None}
    ids = {uuid: model.id for uuid, model in charts.items()}
    made = import_dashboard(update_id_refs(config, ids, _dataset_info()), overwrite=True, ignore_permissions=True)
    db.session.flush()
    made.slices = [charts[uuid] for uuid in sorted(find_chart_uuids(config["position"])) if uuid in charts]
    return made


_WRITERS = {
    "database": _write_database,
    "dataset": _write_dataset,
    "chart": _write_chart,
    "dashboard": _write_dashboard,
}


def _dataset_info() -> dict[str, dict[str, Any]]:
    """The bundle's datasets as Superset has them, in the words of its importers."""
    found = {asset.uuid: _find(asset) for asset in assets() if asset.kind == "dataset"}
    return {
        uuid: {"datasource_id": model.id, "datasource_type": "table", "datasource_name": model.table_name}
        for uuid, model in found.items()
        if model is not None
    }


def _connect_as(model: Any, url: str) -> None:
    """A new password, or the administrator's new URL, is no edit."""
    if model.sqlalchemy_uri_decrypted != url:
        model.set_sqlalchemy_uri(url)
