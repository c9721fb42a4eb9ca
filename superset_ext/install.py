"""What turns a Superset app into one with the package: the only module that touches a running app.

It runs as `FLASK_APP_MUTATOR`, in web, worker, beat and CLI alike, and before migrations do: it
reads no table and waits for no server.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from superset_ext.aggregates.route.substitute import RoutedCharts
from superset_ext.cache import dependencies as depends
from superset_ext.cache.chart import ChartCache
from superset_ext.cache.region import RegionCache
from superset_ext.configuration.notes import notes
from superset_ext.core import quiet
from superset_ext.core.log_database import LogDatabase, log_of
from superset_ext.freshness.change import EXTENSION as FRESHNESS
from superset_ext.freshness.change import Freshness
from superset_ext.freshness.listeners import install as listeners
from superset_ext.freshness.log import InvalidationLog
from superset_ext.freshness.relations.datasources import Following
from superset_ext.grants import install as grants
from superset_ext.host import engines, known_since, permissions, seams, sessions, substitutes
from superset_ext.host import task_context as postrun
from superset_ext.host.regions import chart_region, regions
from superset_ext.host.same_source import same_source
from superset_ext.host.windows import Windows
from superset_ext.monitor.advice.overrides import Overrides
from superset_ext.monitor.log import queries
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.package import EXTENSION, Package
from superset_ext.plans import taking
from superset_ext.plans.rewrite.automatic.substitute import AutomaticRewrites
from superset_ext.settings import PREFIX, Region, Settings, current
from superset_ext.sources.engines import Engines
from superset_ext.warm.refresh import Refresher
from superset_ext.warm.registry import capture
from superset_ext.warm.registry.registry import Registry
from superset_ext.warm.shared_entries import SharedEntries

logger = logging.getLogger(__name__)


def install(app: Any) -> Package | None:
    """Install the package into a Superset app, once; `None` where no Redis is set, and Superset runs as stock."""
    settings = current()
    if settings.redis_url is None:
        return None
    if installed := app.extensions.get(EXTENSION):  # a config's mutator may call the one of the config that it imports
        return installed  # type: ignore[no-any-return]
    for line in notes(app.config):  # a command leaves them to the doctor
        logger.log(logging.INFO if quiet.is_on() else logging.WARNING, "superset_ext: %s", line)
    postrun.install()
    engines.engines = _engines(settings)
    left_alone = tuple(seams.apply())
    for reason in left_alone:
        logger.warning("superset_ext: %s; charts are cached, but not all of what they do is counted", reason)
    results = app.config.get("RESULTS_BACKEND")
    if isinstance(results, RegionCache):
        results.bind(app)
    sessions.install(app)
    known_since.watch()
    substitutes.substitutes = ()
    database, recorder, log = _log(app, settings)
    _freshness(app, settings, database, recorder, log)
    granted = grants.install(app, regions(app).get(Region.CHART_DATA), settings)
    if granted is not None and recorder is not None:
        recorder.beside.append(granted.stamps.tidy)
    package = Package(settings, database, recorder, left_alone)
    app.extensions[EXTENSION] = package
    _add_commands(app)
    _add_api()
    return package


def _engines(settings: Settings) -> Engines | None:
    if not settings.source_idle_seconds:
        return None
    return Engines(settings.source_idle_seconds, settings.source_idle_connections)


_Log = tuple[LogDatabase | None, Recorder | None, InvalidationLog | None]


def _log(app: Any, settings: Settings) -> _Log:
    database = log_of(settings, app.config)
    if database is None:
        logger.warning(
            "superset_ext: nothing is logged, since the metadata database is not PostgreSQL; set %sLOG_DATABASE_URL",
            PREFIX,
        )
        return None, None, None
    if not settings.recorder:
        return database, None, None
    registry = Registry(database, settings)
    capture.install(app, registry)
    recorder = Recorder(database, settings, lambda: samples(app), [registry.flush])
    log = InvalidationLog(database, recorder.begin)
    recorder.beside.append(log.flush)
    if settings.query_log:
        queries.install(database, recorder)
        if settings.plans:
            taking.install(app, database, recorder, settings)
    if settings.rewrites:
        rewrites = AutomaticRewrites(app, database, recorder.begin, lambda: chart_region(app), settings)
        recorder.beside.append(rewrites.flush)
        substitutes.substitutes = (rewrites,)
    if settings.aggregates:
        routed = RoutedCharts(app, database, recorder.begin, lambda: chart_region(app), settings)
        recorder.beside.append(routed.flush)
        substitutes.substitutes = (routed, *substitutes.substitutes)
    if settings.auto_apply:
        recorder.beside.append(Overrides(database).flush)
    recorder.start()
    return database, recorder, log


def _freshness(
    app: Any,
    settings: Settings,
    database: LogDatabase | None,
    recorder: Recorder | None,
    log: InvalidationLog | None,
) -> None:
    """Whoever may say that something changed, and what answers are then dropped."""
    following = Following(settings.views_seconds, lambda: _views(app))
    note = log.note if log else None
    freshness = Freshness(
        lambda: chart_region(app), following.ancestors, note, following.forget, following.written, same_source
    )
    app.extensions[FRESHNESS] = freshness
    depends.follow = following.follow
    depends.look_through = Windows(settings.catalogs, following.follow, following.windows).tags
    if database is not None:
        shared = SharedEntries(database, lambda: chart_region(app))
        shared.install()
        if recorder is not None:
            recorder.beside.append(shared.retry)
    listeners.install(app, settings.sources, freshness, database)
    charts = regions(app).get(Region.CHART_DATA)
    if isinstance(charts, ChartCache):
        charts.refresh = Refresher().take


def _views(app: Any) -> tuple[str, int] | None:
    charts = regions(app).get(Region.CHART_DATA)
    return charts.views() if isinstance(charts, ChartCache) else None


def samples(app: Any) -> Mapping[str, tuple[int, int]]:
    """Used memory in bytes and keys evicted since the server started, of each region's server."""
    infos = {name: cache.server_info() for name, cache in regions(app).items()}
    return {name: (info.used_memory, info.evicted_keys) for name, info in infos.items() if info is not None}


def _add_commands(app: Any) -> None:
    from superset_ext.cli.perf import perf
    from superset_ext.doctor.command import doctor

    perf.add_command(doctor)
    app.cli.add_command(perf)


def _add_api() -> None:
    from superset_ext.host.services import appbuilder
    from superset_ext.web.api import RESOURCES

    permissions.reserve_for_admin()
    for resource in RESOURCES:
        appbuilder.add_api(resource)
