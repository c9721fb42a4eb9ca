"""What the cache servers say of themselves, as the log takes it: each eviction once, whoever asks."""

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
_OLD = "SELECT server, evicted_keys FROM superset_ext.cache_server_counter"
_NEW = """
INSERT INTO superset_ext.cache_server_counter (server, evicted_keys) VALUES (%s, %s)
ON CONFLICT (server) DO UPDATE SET evicted_keys = EXCLUDED.evicted_keys, sampled_at = now()
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a flush says of a region's server.

    Attributes:
        memory: bytes that the server uses.
        evictions: keys that it evicted since the log's last word on it; 0 where another region of the
            same server has said so in this flush.
    """

    memory: int
    evictions: int


def server_of(region: str, settings: Settings) -> str:
    """The server of a region, without credentials and database number; regions of one server give one name."""
    own = settings.region(region).url if region in set(Region) else None
    parts = urlsplit(own or settings.redis_url or "")
    service = parts.path.strip("/").split("/")[0] if "+sentinel" in parts.scheme else ""
    return f"{parts.netloc.rpartition('@')[2]}/{service}".lower().rstrip("/")


def sample(cursor: Any, sampler: Sampler, settings: Settings, regions: Collection[str]) -> dict[str, Sample]:
    """A sample for each of `regions` whose server answers, within the transaction that writes them.

    One process samples at a time, under a lock; otherwise an older count could be stored over a newer
    one and be taken for a restarted server. Who does not get the lock goes without.
    """
    cursor.execute(_LOCK)
    if not cursor.fetchone()[0]:
        return {}
    asked = {region: seen for region, seen in _asked(sampler).items() if region in regions}
    cursor.execute(_OLD)
    before: dict[str, int] = dict(cursor.fetchall())
    found: dict[str, Sample] = {}
    for region, (memory, evicted) in asked.items():
        server = server_of(region, settings)
        found[region] = Sample(memory, _delta(before.get(server), evicted))
        # The next region of this server sees the count as told, and so adds only what came since.
        before[server] = evicted
        cursor.execute(_NEW, (server, evicted))
    return found


def _asked(sampler: Sampler) -> Mapping[str, tuple[int, int]]:
    try:
        return sampler()
    except Exception:  # noqa: BLE001  (a cache's client may raise anything; its trouble must not hold up the log)
        logger.debug("superset_ext: the cache servers could not be sampled", exc_info=True)
        return {}


def _delta(before: int | None, now: int) -> int:
    """Keys evicted since `before`; a count that went down began anew with its server."""
    if before is None:
        return 0
    return now - before if now >= before else now
