"""The caches that Superset really runs with, and their servers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.redis.place import safe_url
from superset_ext.cache.redis.server_info import ServerInfo
from superset_ext.configuration.caches import CONFIGS, keeps
from superset_ext.configuration.notes import notes
from superset_ext.doctor.finding import Finding
from superset_ext.errors import StoreUnavailable
from superset_ext.host.regions import regions
from superset_ext.package import Package
from superset_ext.settings import PREFIX, Region, Settings

_NOTHING = ("null", "nullcache", "flask_caching.backends.nullcache", "flask_caching.backends.nullcache.nullcache")
_IMPORT = "end superset_config.py with: from superset_ext.config import *"


def check_kinds(app: Any, package: Package) -> Iterator[Finding]:
    """Each of Superset's caches is one of ours, or its own where that is asked for."""
    ours = regions(app)
    for region, name in CONFIGS.items():
        if str(region) not in ours:
            yield _other(package.settings, region, name, app.config.get(name))
    yield Finding("caches", "fine", f"{len(ours)} of {len(Region)} caches are the package's")


def _other(settings: Settings, region: Region, name: str, config: Any) -> Finding:
    kind = str(config.get("CACHE_TYPE", "")) if isinstance(config, Mapping) else type(config).__name__
    if config is None or kind.lower() in ("", *_NOTHING):
        return Finding("caches", "error", f"{name} is Null: nothing is cached", _IMPORT)
    if kind in ("SupersetMetastoreCache", "superset.extensions.metastore_cache.SupersetMetastoreCache"):
        return Finding("caches", "fine", f"{name} is Superset's own in the metadata database")
    message = f"{name} is {kind}, which is neither counted nor invalidated"
    if keeps(settings, region, config):
        fix = f"it is kept as the config names it; {PREFIX}{region.upper()}_BACKEND=redis makes it the package's"
        return Finding("caches", "fine", message, fix)
    return Finding("caches", "warning", message, _IMPORT)


def check_config(app: Any, _package: Package) -> Iterator[Finding]:
    """What the config says of caches and does not hold is known."""
    for note in notes(app.config):
        yield Finding("config", "fine" if note.startswith("replaced") else "warning", note)


def check_prefixes(app: Any, package: Package) -> Iterator[Finding]:
    """No two caches could take each other's keys for their own; ours are kept apart by the settings."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in map(Region, regions(app)):
        places[_place(package.settings.region_url(name)), package.settings.region(name).prefix].append(name)
    for title, config in app.config.items():
        if isinstance(config, Mapping) and (url := _url(config)):
            places[_place(url), str(config.get("CACHE_KEY_PREFIX", "flask_cache_"))].append(title)
    for (_, prefix), names in places.items():
        if len(names) > 1:
            message = f"{' and '.join(sorted(names))} share a Redis database and the prefix {prefix!r}"
            yield Finding("prefixes", "error", message, "give each a CACHE_KEY_PREFIX of its own")


def _url(config: Mapping[str, Any]) -> str | None:
    """Where Flask-Caching would store with this config, `None` where that is not Redis."""
    if str(config.get("CACHE_TYPE", "")).lower() not in ("rediscache", "redis", "flask_caching.backends.rediscache"):
        return None
    host, port = config.get("CACHE_REDIS_HOST", "localhost"), config.get("CACHE_REDIS_PORT", 6379)
    return str(config.get("CACHE_REDIS_URL") or f"redis://{host}:{port}/{config.get('CACHE_REDIS_DB', 0)}")


def _place(url: str) -> str:
    """Which database of which server, however it is written."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}/{parts.path.strip('/') or 0}"


def check_servers(app: Any, package: Package) -> Iterator[Finding]:
    """Each region reaches its server, whose policy keeps what has no timeout; what is wrong is said once a server."""
    seen: set[str] = set()
    away: dict[str, dict[str, str]] = defaultdict(dict)  # by server and region, why
    for name, cache in regions(app).items():
        server = _server(package.settings, name)
        reason = cache.unreached()
        info = None if reason else cache.server_info()
        if info is None:
            away[server][name] = reason or "it did not answer"
        elif server not in seen:
            seen.add(server)
            yield _policy(safe_url(server), info)
            yield from _room(safe_url(server), info)
    for server, reasons in away.items():
        reaches = "does not reach" if len(reasons) == 1 else "do not reach"
        message = f"{', '.join(reasons)} {reaches} {safe_url(server)}: {next(iter(reasons.values()))}"
        yield Finding("servers", "error", message, f"check {_where_set(package.settings, reasons)}, and that it runs")


def _where_set(settings: Settings, names: Iterable[str]) -> str:
    """The variables that say where the server of these regions is."""
    own = [settings.region(name).url is not None for name in names]
    urls = [f"{PREFIX}{name.upper()}_URL" for name, is_own in zip(names, own, strict=True) if is_own]
    return " and ".join([*([] if all(own) else [f"{PREFIX}REDIS_URL"]), *urls])


def _server(settings: Settings, region: str) -> str:
    """A region's server, whichever user asks it."""
    parts = urlsplit(settings.region_url(Region(region)))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path="", query="").geturl()


def _policy(server: str, info: ServerInfo) -> Finding:
    limit = f"{info.used_memory / 2**20:.0f} of {info.maxmemory / 2**20:.0f} MiB" if info.maxmemory else "no limit"
    if info.policy.startswith("volatile-"):
        return Finding("servers", "fine", f"{server}: {info.policy}, {limit}")
    fix = "set maxmemory-policy volatile-lru on that server"
    if info.policy.startswith("allkeys-"):
        message = f"{server} evicts by {info.policy}: when the marks of changes go, every chart is asked anew"
        return Finding("servers", "warning", message, fix)
    if not info.maxmemory:
        return Finding("servers", "warning", f"{server} has no maxmemory", f"set maxmemory, and {fix}")
    return Finding("servers", "warning", f"{server} is {info.policy}: when it is full, it takes nothing new", fix)


def _room(server: str, info: ServerInfo) -> Iterator[Finding]:
    if info.maxmemory and info.used_memory > 0.9 * info.maxmemory:
        message = f"{server} uses {info.used_memory / info.maxmemory:.0%} of its memory"
        yield Finding("servers", "warning", message, "raise maxmemory, or shorten timeouts")


def check_stamps(app: Any, _package: Package) -> Iterator[Finding]:
    """What lies in the place of the marks of changes is one."""
    cache = regions(app).get(Region.CHART_DATA)  # one of the config's own is another check's
    if not isinstance(cache, ChartCache):
        return
    try:
        health = cache.stamps_health()
    except StoreUnavailable:  # which the check of the servers says
        return
    fix = "find out who else writes to the database of chart_data; the next change or read replaces each"
    if health.bad:
        yield Finding("stamps", "error", f"{health.bad} marks of changes are none, so what depends on them misses", fix)
    if health.replaced:
        message = f"{health.replaced} marks of changes were none in the last 7 days, and were replaced"
        yield Finding("stamps", "warning", message, fix)
    if not health.bad and not health.replaced:
        yield Finding("stamps", "fine", f"{health.stamps} marks of changes, all of them good")
