"""Samples, once a minute: what the cache servers and the source databases say of themselves, beside what the log says.

What does not answer has no row that minute, and keeps no other row from being written. Regions that share a server
share its memory in proportion to their entries times the mean size of what they stored in the last day, which is an
estimate; regions that share a database number are told apart by the keys that each remembers.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from superset_ext.cache.redis.place import Place
from superset_ext.cache.redis.server_info import ServerInfo
from superset_ext.cache.region import RegionCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.host.regions import regions
from superset_ext.monitor.log.sample import server_of
from superset_ext.monitor.samples import sources
from superset_ext.settings import Settings

logger = logging.getLogger(__name__)

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.sampling', 0))"
# The recorder's rows have counters of their own: each of the two logs an eviction once.
_COUNTER = "cache_sample "
_OLD = "SELECT server, evicted_keys FROM superset_ext.cache_server_counter WHERE server = ANY(%s)"
_NEW = """
INSERT INTO superset_ext.cache_server_counter (server, evicted_keys) VALUES (%s, %s)
ON CONFLICT (server) DO UPDATE SET evicted_keys = excluded.evicted_keys, sampled_at = now()
"""
_SIZES = """
SELECT cache_type, sum(bytes_written)::float8 / sum(sets) FROM superset_ext.cache_hourly
WHERE hour >= now() - interval '1 day' GROUP BY cache_type HAVING sum(sets) > 0
"""
_TIMES = """
SELECT cache_type, superset_ext.histogram_quantile(hist, 0.5), superset_ext.histogram_quantile(hist, 0.95),
    superset_ext.histogram_quantile(hist, 0.99)
FROM (
    SELECT cache_type, superset_ext.histogram_merge(hit_histogram) AS hist FROM superset_ext.cache_performance_log
    WHERE created_at > now() - interval '60 seconds' GROUP BY cache_type
) AS merged
"""
_REGION = """
INSERT INTO superset_ext.cache_sample (
    at, region, server, shared, server_memory, memory_estimated, maxmemory, entries, evictions, fragmentation,
    connections, hit_p50, hit_p95, hit_p99
) VALUES (now(), %s, %s, %s, %s, %s, nullif(%s, 0), %s, %s, %s, %s, %s, %s, %s)
"""
# By Little's law: the time that queries took within a minute, over that minute. What ended just now is not written yet.
_RUNNING = """
SELECT database_id, sum(extract(epoch FROM greatest(interval '0', least(created_at, until)
    - greatest(created_at - make_interval(secs => duration_ms / 1000), since))))::float8 / 60
FROM superset_ext.query_performance_log, (
    SELECT now() - make_interval(secs => 60 + %(late)s) AS since, now() - make_interval(secs => %(late)s) AS until
) AS minute
WHERE created_at > since AND database_id IS NOT NULL GROUP BY database_id
"""
_DATABASE = (
    "INSERT INTO superset_ext.database_sample (at, database_id, connections, running) VALUES (now(), %s, %s, %s)"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """The rows of one sample: regions, and source databases."""

    regions: int
    databases: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a region's server said.

    Attributes:
        server: which one, see `sample.server_of`.
        database: number of the database that the region's keys are in.
        info: the server's own numbers.
        remembered: see `RegionCache.remembered`.
    """

    server: str
    database: int
    info: ServerInfo
    remembered: int

    @property
    def expiring(self) -> int:
        """Keys of its database that have a timeout: entries, those of neighbours too, without stamps."""
        return self.info.expiring.get(self.database, 0)


def take(app: Any, database: LogDatabase, settings: Settings) -> Taken:
    """Write a sample of all regions and of all source databases; within an app context.

    Args:
        app: Superset.
        database: the log database.
        settings: those of the process.

    Raises:
        LogUnavailable: the log database does not answer; what was not written is not made up for.
    """
    return Taken(sample_regions(regions(app), database, settings), sample_sources(app, database, settings))


def sample_regions(caches: Mapping[str, RegionCache], database: LogDatabase, settings: Settings) -> int:
    """Write a row for each region whose server answers; how many those were.

    Raises:
        LogUnavailable: see `take`.
    """
    seen = _asked(caches, settings)
    shares = Counter(server_of(name, settings) for name in caches)
    entries = entries_of(seen)
    with database.transaction() as cursor:
        cursor.execute(_LOCK)
        memory = memory_of(seen, entries, _rows(cursor, _SIZES))
        times, evicted = _rows(cursor, _TIMES), _evicted(cursor, seen)
        for name, found in seen.items():
            info, shared = found.info, shares[found.server] > 1
            own = memory[name] if shared else info.used_memory
            cursor.execute(_REGION, (
                name, found.server, shared, info.used_memory, own, info.maxmemory, entries[name],
                evicted.pop(found.server, 0), info.fragmentation, info.clients, *times.get(name, (None, None, None)),
            ))  # fmt: skip
    return len(seen)


def _asked(caches: Mapping[str, RegionCache], settings: Settings) -> dict[str, Seen]:
    """What is known of each region whose server answers; a server is asked once, so that its rows agree."""
    infos: dict[str, ServerInfo] = {}
    found: dict[str, Seen] = {}
    for name, cache in caches.items():
        server = server_of(name, settings)
        info, remembered = infos.get(server) or cache.server_info(), cache.remembered()
        if info is not None and remembered is not None:
            infos[server] = info
            number = int(Place.of(settings.region_url(name)).options.get("db") or 0)
            found[name] = Seen(server, number, info, remembered)
    return found


def _rows(cursor: Any, sql: str) -> dict[str, Any]:
    """Rows by their first column; what follows it as it is, where it is one value."""
    cursor.execute(sql)
    return {row[0]: row[1] if len(row) == 2 else row[1:] for row in cursor.fetchall()}


def entries_of(seen: Mapping[str, Seen]) -> dict[str, int | None]:
    """How many entries each region has: the keys of its database, shared out where it is not the region's alone.

    `None` where they are to be shared out and no region remembers its keys, `key_memory` being 0.
    """
    regions_in = Counter((each.server, each.database) for each in seen.values())
    remembered: Counter[tuple[str, int]] = Counter()
    for each in seen.values():
        remembered[each.server, each.database] += each.remembered
    found: dict[str, int | None] = {}
    for name, each in seen.items():
        place = (each.server, each.database)
        if regions_in[place] == 1 or not each.expiring:
            found[name] = each.expiring
        else:
            total = remembered[place]
            found[name] = round(each.expiring * each.remembered / total) if total else None
    return found


def memory_of(
    seen: Mapping[str, Seen], entries: Mapping[str, int | None], sizes: Mapping[str, float]
) -> dict[str, int | None]:
    """The server's memory, shared out by entries times their mean size, in bytes; `None` where there are no entries.

    Args:
        sizes: mean bytes of what a region stored; one of which nothing is known has those of all.
    """
    usual = sum(sizes.values()) / len(sizes) if sizes else 1.0
    weights = {name: (entries[name] or 0) * sizes.get(name, usual) for name in seen}
    totals: dict[str, float] = defaultdict(float)
    for name, each in seen.items():
        totals[each.server] += weights[name]
    return {
        name: round(each.info.used_memory * weights[name] / totals[each.server]) if totals[each.server] else None
        for name, each in seen.items()
    }


def _evicted(cursor: Any, seen: Mapping[str, Seen]) -> dict[str, int]:
    """Keys that each server evicted since the sample before; a count that went down began anew with its server."""
    now = {each.server: each.info.evicted_keys for each in seen.values()}
    cursor.execute(_OLD, ([_COUNTER + server for server in now],))
    before = {server.removeprefix(_COUNTER): count for server, count in cursor.fetchall()}
    for server, count in now.items():
        cursor.execute(_NEW, (_COUNTER + server, count))
    return {
        server: count - before[server] if count >= before[server] else count
        for server, count in now.items()
        if server in before
    }


def sample_sources(app: Any, database: LogDatabase, settings: Settings) -> int:
    """Write a row for each source database, but for those that were asked and did not answer; how many those were.

    Raises:
        LogUnavailable: see `take`.
    """
    engines = sources.known()
    asked = {number for number, engine in engines.items() if sources.is_asked(engine)}
    said = sources.ask(app, asked)
    with database.transaction() as cursor:
        cursor.execute(_RUNNING, {"late": 2 * settings.recorder_flush_seconds})
        running = dict(cursor.fetchall())
        rows: dict[int, tuple[int | None, float]] = {
            number: (None, running.get(number, 0.0)) for number in engines if number not in asked
        }
        rows |= {number: (busy.connections, float(busy.running)) for number, busy in said.items()}
        for number, row in rows.items():
            cursor.execute(_DATABASE, (number, *row))
    return len(rows)
