"""The names that Superset reads, made from the settings: end your own config with
`from superset_ext.config import *`.

It goes last, because it looks at what stands above it: a `FLASK_APP_MUTATOR` of your own runs
before ours, your `CELERY_CONFIG` and `FEATURE_FLAGS` are kept and added to. Nothing here imports
Superset, which imports this from inside `superset.config`. Without `SUPERSET_EXT_REDIS_URL` there
is nothing to import, and Superset runs as stock.
"""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from superset_ext import settings as _settings
from superset_ext.errors import SettingsError
from superset_ext.settings import CONFIG_NAMES, Region, Settings, with_database


def region_config(settings: Settings, region: Region) -> dict[str, Any]:
    """The Flask-Caching config dict of a region, as Superset's cache manager takes it."""
    own = settings.region(region)
    common = {"CACHE_DEFAULT_TIMEOUT": own.timeout, "CACHE_KEY_PREFIX": own.prefix}
    if own.backend == "metastore":
        return {"CACHE_TYPE": "SupersetMetastoreCache", **common}
    kind = "chart.ChartCache" if region is Region.CHART_DATA else "region.RegionCache"
    return {"CACHE_TYPE": f"superset_ext.cache.{kind}", "SUPERSET_EXT_REGION": str(region), **common}


def broker_url(settings: Settings) -> str:
    """Celery's broker: the one that is set, or database 0 of the Redis of all regions."""
    url = settings.broker_url or with_database(settings.redis_url or "", 0)
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in query:
        query["ssl_cert_reqs"] = "required"  # Celery's Redis backend refuses a TLS URL that does not say
        return urlunsplit(parts._replace(query=urlencode(query)))
    return url


def celery_config(settings: Settings, own: Any) -> Any:
    """`own` (a class, an object or a dict, as Celery takes them) with our tasks and schedule added.

    The broker is ours only where the config is Superset's default, whose broker is a local SQLite file.
    """
    if own is None:
        return None  # Celery is switched off
    from superset_ext.freshness import tasks as freshness
    from superset_ext.host import worker_report
    from superset_ext.monitor import tasks as monitor
    from superset_ext.warm import tasks as warm
    from superset_ext.warm.service import QUEUE

    read: Callable[[str, Any], Any] = (
        own.get if isinstance(own, Mapping) else lambda name, default: getattr(own, name, default)
    )
    imports, schedule, routes, queues, default = _celery_names(read)
    added = {
        imports: (*read(imports, ()), freshness.__name__, monitor.__name__, warm.__name__, worker_report.__name__),
        schedule: {
            **read(schedule, {}),
            **freshness.beat_schedule(settings),
            **monitor.beat_schedule(settings),
            **warm.beat_schedule(settings),
        },
        routes: _routes(read(routes, None), warm.ROUTES),
        queues: _queues(read(queues, None), read(default, "celery"), QUEUE),
    }
    if str(read("broker_url", "")).startswith("sqla+sqlite"):
        added |= {"broker_url": broker_url(settings), "result_backend": broker_url(settings)}
    if isinstance(own, Mapping):
        return {**own, **added}
    base = own if isinstance(own, type) else type(own)
    values = {} if isinstance(own, type) else vars(own)
    return type("CeleryConfig", (base,), {**values, **added})


def _celery_names(read: Callable[[str, Any], Any]) -> tuple[str, ...]:
    """Celery refuses a config that mixes its old names with its new ones."""
    old = read("CELERY_IMPORTS", None) is not None or read("CELERYBEAT_SCHEDULE", None) is not None
    if old:
        return "CELERY_IMPORTS", "CELERYBEAT_SCHEDULE", "CELERY_ROUTES", "CELERY_QUEUES", "CELERY_DEFAULT_QUEUE"
    return "imports", "beat_schedule", "task_routes", "task_queues", "task_default_queue"


def _routes(own: Any, ours: Mapping[str, Any]) -> Any:
    """Celery takes a dict, or routers in order, of which the first that knows a task decides."""
    if own is None or isinstance(own, Mapping):
        return {**(own or {}), **ours}
    return [dict(ours), *(own if isinstance(own, list | tuple) else [own])]


def _queues(own: Any, default: str, warm: str) -> Any:
    """What a worker without `-Q` consumes: all that it did, and warming's queue, so that no worker need be added."""
    from kombu import Queue

    if isinstance(own, Mapping):
        return {**own, warm: own.get(warm, {"exchange": warm, "routing_key": warm})}
    kept = list(own or [Queue(default, routing_key=default)])
    there = any(getattr(queue, "name", queue) == warm for queue in kept)
    return kept if there else [*kept, Queue(warm, routing_key=warm)]


def mutator(own: Callable[[Any], None] | None) -> Callable[[Any], None]:
    """A `FLASK_APP_MUTATOR` that runs `own` first, then installs the package."""

    def install(app: Any) -> None:
        if own is not None:
            own(app)
        from superset_ext import install as package

        package.install(app)

    return install


def names(settings: Settings, own: Mapping[str, Any]) -> dict[str, Any]:
    """All that the star import brings, given the config `own` that it is imported into."""
    if settings.redis_url is None:
        return {}
    from superset_ext.cache.region import RegionCache

    found: dict[str, Any] = {name: region_config(settings, region) for region, name in CONFIG_NAMES.items()}
    found["RESULTS_BACKEND"] = RegionCache(Region.QUERY_RESULTS)
    found["FLASK_APP_MUTATOR"] = mutator(own.get("FLASK_APP_MUTATOR"))
    found["CELERY_CONFIG"] = celery_config(settings, own.get("CELERY_CONFIG", _stock("CELERY_CONFIG")))
    # Without the first, two users of an impersonating database share one entry; without the second, whoever may read
    # all datasets sees the performance dashboards, though no rows on them.
    found["FEATURE_FLAGS"] = {"CACHE_IMPERSONATION": True, "DASHBOARD_RBAC": True, **own.get("FEATURE_FLAGS", {})}
    if settings.database_url and "SQLALCHEMY_DATABASE_URI" not in own:
        found["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    return found


def _stock(name: str) -> Any:
    """Superset's own value: its config module is half loaded while it imports ours, and this is above that line."""
    return getattr(sys.modules.get("superset.config"), name, None)


def _importer() -> Mapping[str, Any]:
    """The names of the config that star-imports this module, and of the configs that import that one in turn.

    A config named by `SUPERSET_CONFIG_PATH` is never in `sys.modules`, so the frames are the only way to it.
    """
    configs: list[MutableMapping[str, Any]] = []
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "superset.config":
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") != __name__:
            configs.append(frame.f_globals)
        frame = frame.f_back
    return ChainMap(*configs)


try:
    _names = names(_settings.current(), _importer())
except SettingsError as error:
    _settings.stop(error)

globals().update(_names)
__all__ = list(_names)
