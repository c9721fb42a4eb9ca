"""The names that Superset reads, made from the settings: end your own config with
`from superset_ext.config import *`.

That line goes last, because it looks at the names above it: your `FLASK_APP_MUTATOR` runs before
ours, and your `CELERY_CONFIG` and `FEATURE_FLAGS` are kept and added to. Nothing here imports
Superset, which imports this module from inside `superset.config`. Without
`SUPERSET_EXT_REDIS_URL` the import brings nothing, and Superset runs as stock.
"""

from __future__ import annotations

import os
import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from types import FrameType
from typing import Any

from superset_ext import settings as _settings
from superset_ext.errors import SettingsError
from superset_ext.settings import CONFIG_NAMES, Region, Settings

# Two users of an impersonating database would share one entry. No flag that changes what people may do stands here.
FLAGS = {"CACHE_IMPERSONATION": True}
_Read = Callable[[str, Any], Any]


def region_config(settings: Settings, region: Region) -> dict[str, Any]:
    """The Flask-Caching config dict of a region, as Superset's cache manager takes it."""
    own = settings.region(region)
    common = {"CACHE_DEFAULT_TIMEOUT": own.timeout, "CACHE_KEY_PREFIX": own.prefix}
    if own.backend == "metastore":
        return {"CACHE_TYPE": "SupersetMetastoreCache", **common}
    kind = "chart.ChartCache" if region is Region.CHART_DATA else "region.RegionCache"
    return {"CACHE_TYPE": f"superset_ext.cache.{kind}", "SUPERSET_EXT_REGION": str(region), **common}


def celery_config(settings: Settings, own: Any) -> Any:
    """`own` (a class, an object or a dict, as Celery takes them) with our tasks and schedule added.

    The broker is ours only where the config is Superset's default, whose broker is a local SQLite file.
    """
    if own is None:
        return None  # Celery is switched off
    read = _reader(own)
    added = _celery_additions(settings, read)
    if str(read("broker_url", "")).startswith("sqla+sqlite"):
        added |= {"broker_url": settings.broker(), "result_backend": settings.broker()}
    if isinstance(own, Mapping):
        return {**own, **added}
    base = own if isinstance(own, type) else type(own)
    values = {} if isinstance(own, type) else vars(own)
    return type("CeleryConfig", (base,), {**values, **added})


def _reader(own: Any) -> _Read:
    """A function that returns the value of a name in a Celery config, or a default."""
    if isinstance(own, Mapping):
        return own.get
    return lambda name, default: getattr(own, name, default)


def _celery_additions(settings: Settings, read: _Read) -> dict[str, Any]:
    """The names of a Celery config that we add to, each with the user's own values and ours."""
    from superset_ext.freshness import tasks as freshness
    from superset_ext.host import worker_report
    from superset_ext.monitor import tasks as monitor
    from superset_ext.warm import tasks as warm
    from superset_ext.warm.service import QUEUE

    modules = [module.__name__ for module in (freshness, monitor, warm, worker_report)]
    beat = freshness.beat_schedule(settings) | monitor.beat_schedule(settings) | warm.beat_schedule(settings)
    imports, schedule, routes, queues, default = _celery_names(read)
    return {
        imports: (*read(imports, ()), *modules),
        schedule: {**read(schedule, {}), **beat},
        routes: _routes(read(routes, None), warm.ROUTES),
        queues: _queues(read(queues, None), read(default, "celery"), QUEUE),
    }


def _celery_names(read: _Read) -> tuple[str, ...]:
    """The names of the config's generation: Celery refuses a config that mixes its old names with its new ones."""
    old = read("CELERY_IMPORTS", None) is not None or read("CELERYBEAT_SCHEDULE", None) is not None
    if old:
        return "CELERY_IMPORTS", "CELERYBEAT_SCHEDULE", "CELERY_ROUTES", "CELERY_QUEUES", "CELERY_DEFAULT_QUEUE"
    return "imports", "beat_schedule", "task_routes", "task_queues", "task_default_queue"


def _routes(own: Any, ours: Mapping[str, Any]) -> Any:
    """The user's routes and ours: a dict, or a list of routers of which the first that knows a task decides."""
    if own is None or isinstance(own, Mapping):
        return {**(own or {}), **ours}
    return [dict(ours), *(own if isinstance(own, list | tuple) else [own])]


def _queues(own: Any, default: str, warm: str) -> Any:
    """The queues of a worker without `-Q`: those that it had, and warming's, so that no worker need be added."""
    from kombu import Queue

    if isinstance(own, Mapping):
        return {**own, warm: own.get(warm, {"exchange": warm, "routing_key": warm})}
    kept = list(own or [Queue(default, routing_key=default)])
    present = any(getattr(queue, "name", queue) == warm for queue in kept)
    return kept if present else [*kept, Queue(warm, routing_key=warm)]


def mutator(own: Callable[[Any], None] | None) -> Callable[[Any], None]:
    """A `FLASK_APP_MUTATOR` that runs `own` first, then installs the package."""

    def install(app: Any) -> None:
        if own is not None:
            own(app)
        from superset_ext import install as package

        package.install(app)

    return install


def names(settings: Settings, own: Mapping[str, Any]) -> dict[str, Any]:
    """All that the star import brings into the config `own`."""
    if settings.redis_url is None:
        return {}
    from superset_ext.cache.region import RegionCache

    config: dict[str, Any] = {name: region_config(settings, region) for region, name in CONFIG_NAMES.items()}
    config["RESULTS_BACKEND"] = RegionCache(Region.QUERY_RESULTS)
    config["FLASK_APP_MUTATOR"] = mutator(own.get("FLASK_APP_MUTATOR"))
    config["CELERY_CONFIG"] = celery_config(settings, own.get("CELERY_CONFIG", _stock("CELERY_CONFIG")))
    config["FEATURE_FLAGS"] = {**_flags(os.environ), **own.get("FEATURE_FLAGS", {})}
    if settings.database_url and "SQLALCHEMY_DATABASE_URI" not in own:
        config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    return config


def _flags(environ: Mapping[str, str]) -> dict[str, bool]:
    """Our defaults, without those that the environment sets: Superset would have these over its own."""
    return {name: value for name, value in FLAGS.items() if f"SUPERSET_FEATURE_{name}" not in environ}


def _stock(name: str) -> Any:
    """Superset's own value of a name, which stands in its config module above the line that imports ours."""
    return getattr(sys.modules.get("superset.config"), name, None)


def _importer() -> Mapping[str, Any]:
    """The names of the config that star-imports this module, and of the configs that import that one in turn.

    A config named by `SUPERSET_CONFIG_PATH` is never in `sys.modules`, so only the stack leads to it.
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
