"""Switches grants on in an app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Flask

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.keyring import KeyRing
from superset_ext.grants.hooks import Hooks
from superset_ext.grants.judge import Judge
from superset_ext.grants.key import Keys
from superset_ext.grants.log_rows import LogRows
from superset_ext.grants.metadata_stamps import MetadataStamps
from superset_ext.grants.redis_stamps import LIFE_SECONDS, RedisStamps
from superset_ext.grants.tables import watched_tables
from superset_ext.host.dashboard_reads import watch_dashboards
from superset_ext.host.documents import watch_reads
from superset_ext.host.granting import event_logger, metadata_engine
from superset_ext.settings import Settings

EXTENSION = "superset_ext_grants"


@dataclass(frozen=True, slots=True)
class Grants:
    """Grants of one app."""

    hooks: Hooks
    stamps: MetadataStamps
    logs: LogRows


def install(app: Flask, charts: Any, settings: Settings) -> Grants | None:
    """Switch grants on; `None` where the settings do not want them, or what keeps chart data cannot keep them."""
    if settings.grants == "off" or not isinstance(charts, ChartCache):
        return None
    stamps = metadata_stamps(app)
    judge = _judge(app, charts, stamps, settings)
    logs = LogRows(event_logger())
    hooks = Hooks(app, judge, lambda: Keys(app, _ring(app), not logs.are_rows), logs, settings.grants_documents)
    watch_dashboards(metadata_engine(app))
    if settings.grants_documents:
        watch_reads(metadata_engine(app))
    hooks.install()
    made = Grants(hooks, stamps, logs)
    app.extensions[EXTENSION] = made
    return made


def _judge(app: Flask, charts: ChartCache, stamps: MetadataStamps, settings: Settings) -> Judge:
    if settings.grants == "triggers":
        return Judge(charts.kept, stamps, settings.grants_seconds)
    own = RedisStamps(charts)
    own.install(metadata_engine(app))
    return Judge(charts.kept, own, min(settings.grants_seconds, LIFE_SECONDS))


def grants(app: Flask) -> Grants | None:
    """The grants of an app; `None` where they are off."""
    made: Grants | None = app.extensions.get(EXTENSION)
    return made


def metadata_stamps(app: Flask) -> MetadataStamps:
    """The triggers of an app's metadata database."""
    return MetadataStamps(lambda: metadata_engine(app), watched_tables)


def _ring(app: Flask) -> KeyRing:
    return KeyRing(app.config["SECRET_KEY"])
