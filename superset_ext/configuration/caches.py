"""Which caches a config gets: the package's regions, or those that the config names itself.

A cache in Redis, in memory or in files is replaced, for that is what the package is for. Any other one (S3, Memcached,
the metadata database, a class of one's own) is kept, but for the one of charts. What is replaced is said at start and
by the doctor; `SUPERSET_EXT_<REGION>_BACKEND` decides otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superset_ext.settings import CONFIG_NAMES, PREFIX, Region, Settings

REPLACED = "SUPERSET_EXT_REPLACED"  # the name of a config by which the app learns what was replaced: names to kinds
RESULTS = "RESULTS_BACKEND"
CONFIGS: Mapping[Region, str] = {**CONFIG_NAMES, Region.QUERY_RESULTS: RESULTS}
_LIKE_OURS = frozenset({"null", "simple", "filesystem", "file", "redis", "redissentinel", "rediscluster"})
_METASTORE = "SupersetMetastoreCache"
_KNOWN = ("flask_caching.", "cachelib.")


def own_caches(settings: Settings, own: Mapping[str, Any]) -> dict[str, Any]:
    """The caches of the config `own` that are not to stay as they are, by their names in Superset's config."""
    return {
        name: region_config(settings, region, own)
        for region, name in CONFIGS.items()
        if not keeps(settings, region, own.get(name))
    }


def keeps(settings: Settings, region: Region, own: Any) -> bool:
    """Whether the cache that a config names for a region stays.

    Args:
        own: a dict for Flask-Caching, an object with its methods, or `None` where the config names none.
    """
    backend = settings.region(region).backend
    if backend != "auto" or is_ours(own, region):
        return backend == "own" and not is_ours(own, region)
    return region is not Region.CHART_DATA and own is not None and not callable(own) and not _is_like_ours(own)


def region_config(settings: Settings, region: Region, own: Mapping[str, Any]) -> Any:
    """A region's config as Superset's cache manager takes it; an object for SQL Lab's results.

    A timeout that the config names stays where `SUPERSET_EXT_<REGION>_TIMEOUT` is not set.
    """
    if region is Region.QUERY_RESULTS:
        from superset_ext.cache.region import RegionCache

        return RegionCache(region, settings)
    chosen = settings.region(region)
    given = own.get(CONFIG_NAMES[region])
    if isinstance(given, Mapping) and is_ours(given, region):
        return {**given}
    common = {"CACHE_DEFAULT_TIMEOUT": _timeout(settings, region, own), "CACHE_KEY_PREFIX": chosen.prefix}
    if chosen.backend == "metastore":
        return {"CACHE_TYPE": _METASTORE, **common}
    kind = "chart.ChartCache" if region is Region.CHART_DATA else "region.RegionCache"
    return {"CACHE_TYPE": f"superset_ext.cache.{kind}", "SUPERSET_EXT_REGION": str(region), **common}


def is_ours(own: Any, region: Region) -> bool:
    """Whether a cache, or its config, is one that we made for this region."""
    if isinstance(own, Mapping):
        return bool(own.get("SUPERSET_EXT_REGION") == region)
    return type(own).__module__ == "superset_ext.cache.region"


def kind(own: Any) -> str:
    """What a cache is, in a word: what its config calls it, or its class. Nothing of what it is set to."""
    if isinstance(own, Mapping):
        return str(own.get("CACHE_TYPE") or "no CACHE_TYPE")
    if callable(own) and not isinstance(own, type):
        return f"the function {getattr(own, '__name__', type(own).__name__)}, which Superset 6.1 does not take"
    return type(own).__name__


def replaced(settings: Settings, own: Mapping[str, Any]) -> dict[str, str]:
    """The caches that the config `own` names and that are not used, by name: what each was."""
    gone: dict[str, str] = {**(own.get(REPLACED) or {})}
    for region, name in CONFIGS.items():
        given = own.get(name)
        if given is None or is_ours(given, region):
            continue
        gone.pop(name, None)
        if not keeps(settings, region, given) and settings.region(region).backend != "metastore":
            gone[name] = kind(given)
    return gone


def how_to_keep(name: str) -> str:
    """What to set so that a config's own cache stays; a function has to become the `CACHE_TYPE` of a dict."""
    region = next(region for region, config in CONFIGS.items() if config == name)
    return f"{PREFIX}{region.upper()}_BACKEND=own"


def _timeout(settings: Settings, region: Region, own: Mapping[str, Any]) -> Any:
    """Seconds: ours where it is set, else the one of the config's cache, else the config's default for all caches."""
    if settings.is_set(region, "timeout"):
        return settings.region(region).timeout
    given = own.get(CONFIG_NAMES[region])
    named = given.get("CACHE_DEFAULT_TIMEOUT") if isinstance(given, Mapping) else None
    if named is None and (given is not None or region in (Region.METADATA, Region.CHART_DATA)):
        named = own.get("CACHE_DEFAULT_TIMEOUT")  # Superset's own dicts of the other caches name a timeout
    return settings.region(region).timeout if named is None else named


def _is_like_ours(own: Any) -> bool:
    """Whether a cache is one that the package does better: in Redis, in memory, in files, or none."""
    if not isinstance(own, Mapping):
        return type(own).__module__.startswith(_KNOWN) and _short(type(own).__name__) in _LIKE_OURS
    path = str(own.get("CACHE_TYPE") or "null")
    return (path.startswith(_KNOWN) or "." not in path) and _short(path.rpartition(".")[2]) in _LIKE_OURS


def _short(name: str) -> str:
    return name.lower().removesuffix("cache")
