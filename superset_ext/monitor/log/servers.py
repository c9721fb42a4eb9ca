"""Memory and evictions of the cache servers, as the log has them: each eviction is in one row, whoever asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from superset_ext.settings import Region, Settings

logger = logging.getLogger(__name__)

# Bytes used, and keys evicted since its start, of each region's server.
Sampler = Callable[[], Mapping[str, tuple[int, int]]]

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('superset_ext.sample', 0))"
_COUNTS = "SELECT server, evicted_keys FROM superset_ext.cache_server_counter"
_COUNT = """
INSERT INTO superset_ext.cache_server_counter (server, evicted_keys) VALUES (%s, %s)
ON CONFLICT (server) DO UPDATE SET evicted_keys = EXCLUDED.evicted_keys, sampled_at = now()
"""


@dataclass(frozen=True, slots=True)
class ServerSample:
    """The numbers of a region's server at a flush.

    Attributes:
        memory: bytes that the server uses.
        evictions: keys that it evicted since they were last logged; 0 if another region of the same server
            has logged them in this flush.
    """

    memory: int
    evictions: int


class EvictionCounter:
    """The evictions that one log has recorded of each server, within the transaction of a cursor.

    Args:
        log: the name of a log that counts on its own; each log records an eviction once.
    """

    def __init__(self, cursor: Any, log: str = "") -> None:
        self._cursor = cursor
        self._prefix = f"{log} " if log else ""
        cursor.execute(_COUNTS)
        self._counts: dict[str, int] = dict(cursor.fetchall())

    def new(self, server: str, count: int) -> int:
        """The keys evicted since the last call for this server; 0 for a server that is new.

        Args:
            count: keys evicted since the server started. A count that went down shows that it started again.
        """
        name = self._prefix + server
        before = self._counts.get(name)
        self._counts[name] = count
        self._cursor.execute(_COUNT, (name, count))
        if before is None:
            return 0
        return count - before if count >= before else count


def server_of(region: str, settings: Settings) -> str:
    """The server of a region, without credentials and database number: the same name for all regions of a server."""
    own = settings.region(region).url if region in set(Region) else None
    parts = urlsplit(own or settings.redis_url or "")
    service = parts.path.strip("/").split("/")[0] if "+sentinel" in parts.scheme else ""
    return f"{parts.netloc.rpartition('@')[2]}/{service}".lower().rstrip("/")


def sample_servers(
    cursor: Any, sampler: Sampler, settings: Settings, regions: Collection[str]
) -> dict[str, ServerSample]:
    """A sample for each of `regions` whose server answers, within the transaction that writes them.

    One process samples at a time, under a lock, and the others have no sample. Without the lock an older count could
    be stored over a newer one, and be taken for a server that started again.
    """
    cursor.execute(_LOCK)
    if not cursor.fetchone()[0]:
        return {}
    numbers = {region: pair for region, pair in _numbers(sampler).items() if region in regions}
    counter = EvictionCounter(cursor)
    return {
        region: ServerSample(memory, counter.new(server_of(region, settings), evicted))
        for region, (memory, evicted) in numbers.items()
    }


def _numbers(sampler: Sampler) -> Mapping[str, tuple[int, int]]:
    try:
        return sampler()
    except Exception:  # noqa: BLE001  (a cache's client may raise anything; its trouble must not hold up the log)
        logger.debug("superset_ext: the cache servers could not be sampled", exc_info=True)
        return {}
