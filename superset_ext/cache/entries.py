"""What a region stores, and for how long; values as signed entries, and entries as values."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from superset_ext.cache.envelope import Envelope, pack, unpack
from superset_ext.cache.keyring import KeyRing
from superset_ext.cache.query import Read
from superset_ext.cache.store import Reading, Store
from superset_ext.core.warn_once import warn
from superset_ext.errors import BadSignature, CodecError, EnvelopeError
from superset_ext.events import Miss, Stored
from superset_ext.settings import Region, Settings


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a value lives, and what ends it before.

    Attributes:
        fresh_ms: milliseconds for which it may be used, 0 for ever, `None` where it is not to be stored.
        grace_ms: milliseconds beyond, for which it may be used while it is refreshed.
        tags: what it depends on.
        trial_ms: milliseconds after which it goes unless it was read often enough by then, 0 for no such end.
    """

    fresh_ms: int | None
    grace_ms: int = 0
    tags: tuple[str, ...] = ()
    trial_ms: int = 0

    @property
    def ttl_ms(self) -> int:
        """Milliseconds that Redis keeps it, 0 for ever."""
        whole = self.fresh_ms + self.grace_ms if self.fresh_ms else 0
        return min(whole or self.trial_ms, self.trial_ms) if self.trial_ms else whole


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a read of one key came to.

    Attributes:
        reading: the last one.
        verdict: the entry and its value, or why there is none that may be used.
        stale: whether its time is over, and it is given while it is refreshed.
        coalesced: whether the query of another reader answered it.
    """

    reading: Reading
    verdict: Miss | tuple[Envelope, Any]
    stale: bool = False
    coalesced: bool = False


class Policy:
    """The points in which the six regions differ.

    Attributes:
        own: the region's own settings.
        capped: whether size, rows and the server's memory limit what is stored.
    """

    def __init__(self, region: Region, settings: Settings) -> None:
        self.region = region
        self.settings = settings
        self.own = settings.region(region)
        self.capped = region is not Region.QUERY_RESULTS

    def ttl_ms(self, timeout: float | None) -> int | None:
        """Milliseconds that an entry lives, 0 for ever, `None` for not at all.

        Two regions differ. metadata's own timeout is a cap, since Superset passes a day for whatever
        it memoizes there. In query_results -1 is the region's own timeout: the database is not to be
        cached, but its answer has to reach the browser.

        Args:
            timeout: seconds, as Superset passes them. `None` is the region's own timeout, 0 is for
                ever, as in Flask-Caching, and -1 is Superset's `CACHE_DISABLED_TIMEOUT`: do not
                cache. (cachelib's Redis backend takes -1 for «for ever», by accident.)
        """
        own = self.own.timeout
        if timeout is not None and timeout < 0:
            if self.capped:
                return None
            timeout = None
        seconds = own if timeout is None else timeout
        if self.region is Region.METADATA and own:
            seconds = min(seconds or own, own)
        return int(seconds * 1000)

    def refuses(self, value: Any) -> Stored | None:
        """Why a value is not stored, whatever its size.

        A response may have been built for one user, and Superset's `etag_cache` would give it to
        another: it checks rights inside what it caches.
        """
        parts = value if isinstance(value, tuple) else (value,)
        for part in parts:
            if isinstance(part, Response):
                return Stored.REFUSED
        frame = value.get("df") if isinstance(value, dict) else None
        if self.capped and frame is not None and len(frame) > self.settings.max_result_rows:
            return Stored.TOO_LARGE
        return None

    def too_large(self, data: bytes) -> bool:
        """Whether an entry is above the cap."""
        return self.capped and len(data) > self.settings.max_entry_bytes


class Entries:
    """The entries of one region.

    Args:
        policy: what the region stores.
        store: where it is stored; it says what time it is there.
        ring: what it is signed with.
    """

    def __init__(self, policy: Policy, store: Store, ring: KeyRing) -> None:
        self._policy = policy
        self._store = store
        self._ring = ring

    def judge(self, name: str, reading: Reading) -> Miss | tuple[Envelope, Any]:
        """The entry and the value of a reading, or why there is none."""
        if reading.data is None:
            return _absent(reading)
        region, cap = self._policy.region, self._policy.settings.max_decoded_bytes
        try:
            return unpack(reading.data, key=name, ring=self._ring, max_decoded=cap)
        except BadSignature:
            warn(
                f"signature {region}",
                "an entry in Redis of the region %s is not signed with SECRET_KEY and was not used; if that key was "
                "changed, set PREVIOUS_SECRET_KEY, otherwise find out who else writes to this Redis",
                region,
            )
            return Miss.BAD_SIGNATURE
        except (EnvelopeError, CodecError):
            return Miss.UNKNOWN_FORMAT

    def encode(self, name: str, value: Any, read: Read | None, lives: Lifetime) -> bytes | Stored:
        """An entry's bytes, or why there are none.

        Raises:
            StoreUnavailable: the server's run was not known yet, and it does not say.
        """
        if refusal := self._policy.refuses(value):
            return refusal
        if lives.tags and read is not None and not (read.as_of_us and read.run_id):
            return Stored.ERROR  # nobody can tell what changed since that read began, nor in which run of Redis
        try:
            data = self.pack(name, value, read, lives)
        except CodecError as error:
            region = self._policy.region
            warn(f"codec {region}", "a value of the region %s cannot be stored: %s", region, error)
            return Stored.REFUSED
        return Stored.TOO_LARGE if self._policy.too_large(data) else data

    def pack(self, name: str, value: Any, read: Read | None, lives: Lifetime) -> bytes:
        """An entry's bytes, whatever the region permits.

        Raises:
            CodecError: the value cannot be stored.
            StoreUnavailable: as for `encode`.
        """
        own, now_us = self._policy.own, self._store.now_us()
        return pack(
            value,
            key=name,
            ring=self._ring,
            as_of_us=read.as_of_us if read else 0,
            last_stamp=read.last_stamp if read else 0,
            tags=lives.tags,
            cost_ms=(time.perf_counter() - read.started) * 1000 if read else 0.0,
            run_id=read.run_id if read and read.run_id else self._store.last_run_id(),
            stored_at_us=now_us,
            fresh_until_us=now_us + lives.fresh_ms * 1000 if lives.fresh_ms else 0,
            compression=own.compression,
            level=own.compression_level,
            min_size=own.compression_min_size,
        )


def _absent(reading: Reading) -> Miss:
    """Why a key has no entry, as far as the memory of keys knows; see `store` for how sure that is."""
    if reading.deadline_ms is None:
        return Miss.COLD
    return Miss.EXPIRED if reading.deadline_ms * 1000 <= reading.time_us else Miss.EVICTED
