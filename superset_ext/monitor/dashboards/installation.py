"""Installs the built-in dashboards into Superset, and updates those that nobody has edited.

Superset's own import commands either leave everything that exists as it is or overwrite it. Here each
asset is decided by itself: a hash of Superset's export is kept after each install, and an asset whose
export differs from it now was edited by a person and is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from superset_ext.core.log_database import LogDatabase, all_rows, log_url
from superset_ext.core.schema import SCHEMA_SECONDS
from superset_ext.errors import LogUnavailable
from superset_ext.monitor.dashboards import reader, viewers
from superset_ext.monitor.dashboards.bundle import KINDS, Asset, assets
from superset_ext.monitor.dashboards.imported import (
    AssetError,
    connect_as,
    database_url,
    export_hash,
    find,
    has_parent,
    write,
)
from superset_ext.settings import PREFIX, Settings

Outcome = Literal["created", "updated", "unchanged", "edited", "deleted"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_WRITTEN = ("created", "updated")
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.installed_asset', 0))"
_KNOWN = "SELECT uuid::text AS uuid, bundle_hash, export_hash FROM superset_ext.installed_asset"
_KEEP = """
INSERT INTO superset_ext.installed_asset (uuid, kind, bundle_hash, export_hash) VALUES (%s, %s, %s, %s)
ON CONFLICT (uuid) DO UPDATE SET bundle_hash = excluded.bundle_hash, export_hash = excluded.export_hash,
    installed_at = now()
"""
_FORGET = "DELETE FROM superset_ext.installed_asset"


@dataclass
class Installed:
    """The outcome of an install: names of assets.

    Attributes:
        created: did not exist.
        updated: nobody had edited them, and the package brings another version.
        unchanged: are what the package brings.
        edited: differ from what was installed, and were left as they are.
        deleted: were installed and are gone, or need something that is gone; they were not put back.
    """

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The outcome for a person: a line of counts, and the names of what was left alone."""
        names = {outcome: getattr(self, outcome) for outcome in OUTCOMES}
        counts = ", ".join(f"{len(of)} {outcome}" for outcome, of in names.items() if of)
        left = [
            f"Left as they are, since they were {outcome} in Superset: {', '.join(names[outcome])}."
            for outcome in OUTCOMES
            if outcome in ("edited", "deleted") and names[outcome]
        ]
        return [f"Dashboards and what they stand on: {counts}.", *left]


def install(
    app: Any, database: LogDatabase, settings: Settings, reader_url: str | None = None, restore: bool = False
) -> Installed:
    """Bring the dashboards into Superset, one asset at a time; what a person has edited or deleted stays so.

    Any number of processes may do this at once: one works, the others wait and find it done. The tables of the
    log must exist.

    Args:
        reader_url: URL of a role that may only read; without one, a role is made.
        restore: put back what was edited or deleted, too.

    Raises:
        ReaderError: the role cannot be made; the line says what to set.
        AssetError: Superset refuses an asset.
    """
    base = log_url(settings, str(app.config["SQLALCHEMY_DATABASE_URI"]))
    if base is None:
        raise AssetError(f"the dashboards need a log database; set {PREFIX}LOG_DATABASE_URL to a PostgreSQL URL")
    # A context of its own, in which nobody is logged in: what is installed has no owner.
    with app.app_context(), database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute(_LOCK)
        url = reader.ensure(database, base, reader_url, database_url())
        return _Install(cursor, url, restore).run()


def remove(app: Any, database: LogDatabase) -> list[str]:
    """Remove the dashboards, and all that was made for them, from Superset and the log database; return their names.

    Raises:
        AssetError: Superset refuses, as when somebody's alert or chart needs one of them.
    """
    with app.app_context(), database.transaction(SCHEMA_SECONDS) as cursor:
        cursor.execute(_LOCK)
        names = _remove_all()
        cursor.execute(_FORGET)
    reader.drop(database)
    return names


def _remove_all() -> list[str]:
    from superset_ext.host.models import db

    models = [(asset.name, model) for asset in reversed(assets()) if (model := find(asset)) is not None]
    try:
        viewers.remove()
        for _, model in models:
            db.session.delete(model)
            db.session.flush()
        db.session.commit()
    except Exception as error:
        db.session.rollback()
        raise AssetError(f"Superset does not let go of the dashboards: {error}") from error
    return [name for name, _ in models]


class _Install:
    """One install, within one transaction of Superset's metadata and one of the log."""

    def __init__(self, cursor: Any, url: str, restore: bool) -> None:
        cursor.execute(_KNOWN)
        self.known = {row["uuid"]: row for row in all_rows(cursor)}
        self.cursor, self.url, self.restore = cursor, url, restore
        self.done = Installed()
        self.new: dict[str, list[Any]] = {kind: [] for kind in KINDS}

    def run(self) -> Installed:
        from superset_ext.host.models import db

        try:
            for asset in assets():
                self._asset(asset)
            self._rights()
            # Superset's commit first, the log's with the end of its transaction: after a crash between them, assets
            # are taken for edited and left alone, and nothing worse.
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
            model = write(asset, self.url)
            self._keep(asset.uuid, asset.kind, asset.digest, export_hash(model, asset.kind))
            if outcome == "created":
                self.new[asset.kind].append(model)
        if asset.kind == "database" and outcome != "deleted":
            connect_as(find(asset), self.url)

    def _outcome(self, asset: Asset) -> Outcome:
        model, known = find(asset), self.known.get(asset.uuid)
        if model is None:
            return "deleted" if (known and not self.restore) or not has_parent(asset) else "created"
        if known is not None and export_hash(model, asset.kind) == known["export_hash"]:
            return "unchanged" if known["bundle_hash"] == asset.digest else "updated"
        # Superset commits a database during the import: an unknown one is what an interrupted install left.
        half_done = known is None and asset.kind == "database"
        return "updated" if self.restore or half_done else "edited"

    def _keep(self, uuid: str, kind: str, bundle_hash: str, export_hash: str) -> None:
        self.cursor.execute(_KEEP, (uuid, kind, bundle_hash, export_hash))

    def _rights(self) -> None:
        """Make the role and the rule where something is new; after that they are the administrator's."""
        if not self.new["dataset"] and not self.new["dashboard"]:
            return
        role = viewers.viewer_role()
        viewers.open_to(role, self.new["dataset"])
        if viewers.RULE_UUID not in self.known or viewers.find_rule() is not None:
            viewers.close_to_others(role, self.new["dataset"])
            self._keep(viewers.RULE_UUID, "rule", "", "")
        for dashboard in self.new["dashboard"]:
            dashboard.roles = [role]
