"""A sample of the cache regions, once a minute: the numbers of their servers, beside numbers of the log.

A region whose server does not answer has no row that minute. Regions that share a server share its memory in
proportion to their entries times the mean size of what they stored in the last day, which is an estimate. The entries
of regions that share a database number are estimated from the keys that each remembers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from superset_ext.cache.redis.place import Place
from superset_ext.cache.redis.server_info import ServerInfo
from superset_ext.cache.region import RegionCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.log.servers import EvictionCounter, server_of
from superset_ext.settings import Settings

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.sampling', 0))"
_SIZES = """
SELECT cache_type, sum(bytes_written)::float8 / sum(sets) FROM superset_ext.cache_hourly
WHERE hour >= now() - interval '1 day' GROUP BY cache_type HAVING sum(sets) > 0
"""
_WRITE = """
INSERT INTO superset_ext.cache_sample (
    at, region, server, shared, server_memory, memory_estimated, maxmemory, entries, evictions, fragmentation,
    connections, hit_p50, hit_p95, hit_p99
) VALUES (now(), %s, %s, %s, %s, %s, nullif(%s, 0), %s, %s, %s, %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class RegionState:
    """A region and its server at the moment of the sample.

    Attributes:
        server: which server, see `server_of`.
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
        """Keys of the database that have a timeout: the entries of all regions in it, without stamps."""
        return self.info.expiring.get(self.database, 0)


def sample_regions(caches: Mapping[str, RegionCache], database: LogDatabase, settings: Settings) -> int:
    """Write a row for each region whose server answers, and return their number."""
    states = _states(caches, settings)
    shares = Counter(server_of(name, settings) for name in caches)
    entries = entries_of(states)
    with database.transaction() as cursor:
        cursor.execute(_LOCK)
        memory = memory_of(states, entries, _by_region(cursor, _SIZES))
        quantiles = _by_region(cursor, database.statement("hit_quantiles_of_last_minute"))
        evictions = EvictionCounter(cursor, log="cache_sample")
        for name, state in states.items():
            info, shared = state.info, shares[state.server] > 1
            cursor.execute(_WRITE, (
                name, state.server, shared, info.used_memory, memory[name] if shared else info.used_memory,
                info.maxmemory, entries[name], evictions.new(state.server, info.evicted_keys), info.fragmentation,
                info.clients, *quantiles.get(name, (None, None, None)),
            ))  # fmt: skip
    return len(states)


def _states(caches: Mapping[str, RegionCache], settings: Settings) -> dict[str, RegionState]:
    """The states of the regions whose servers answer; a server is asked once, so that its rows agree."""
    infos: dict[str, ServerInfo] = {}
    states: dict[str, RegionState] = {}
    for name, cache in caches.items():
        server = server_of(name, settings)
        info, remembered = infos.get(server) or cache.server_info(), cache.remembered()
        if info is not None and remembered is not None:
            infos[server] = info
            number = int(Place.of(settings.region_url(name)).options.get("db") or 0)
            states[name] = RegionState(server, number, info, remembered)
    return states


def _by_region(cursor: Any, sql: str) -> dict[str, Any]:
    """Rows by their first column: the second one, or a tuple where there are more."""
    cursor.execute(sql)
    return {row[0]: row[1] if len(row) == 2 else row[1:] for row in cursor.fetchall()}


def entries_of(states: Mapping[str, RegionState]) -> dict[str, int | None]:
    """The number of entries of each region: the keys of its database, divided where several regions are in it.

    `None` where they cannot be divided, because no region remembers its keys (`key_memory` is 0).
    """
    regions_in = Counter((state.server, state.database) for state in states.values())
    remembered: Counter[tuple[str, int]] = Counter()
    for state in states.values():
        remembered[state.server, state.database] += state.remembered
    entries: dict[str, int | None] = {}
    for name, state in states.items():
        place = (state.server, state.database)
        if regions_in[place] == 1 or not state.expiring:
            entries[name] = state.expiring
        else:
            total = remembered[place]
            entries[name] = round(state.expiring * state.remembered / total) if total else None
    return entries


def memory_of(
    states: Mapping[str, RegionState], entries: Mapping[str, int | None], sizes: Mapping[str, float]
) -> dict[str, int | None]:
    """Bytes of each region: its server's memory, divided by entries times their mean size; `None` without entries.

    Args:
        sizes: mean bytes of what a region stored; a region that is missing has the mean of the others.
    """
    usual = sum(sizes.values()) / len(sizes) if sizes else 1.0
    weights = {name: (entries[name] or 0) * sizes.get(name, usual) for name in states}
    totals: dict[str, float] = defaultdict(float)
    for name, state in states.items():
        totals[state.server] += weights[name]
    return {
        name: round(state.info.used_memory * weights[name] / totals[state.server]) if totals[state.server] else None
        for name, state in states.items()
    }
