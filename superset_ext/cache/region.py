"""A plain cache region: what Superset gets for each of its caches, through Flask-Caching's contract.

Nothing here raises because of Redis: a get that cannot be answered is a miss, a set that cannot be
stored is False, and each is counted with its reason. Entries that hold what a chart shows are in `chart`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from flask import current_app
from flask_caching.backends.base import BaseCache

from superset_ext.cache import bulk
from superset_ext.cache import query as queries
from superset_ext.cache.configured import heed, ring_of, store_of
from superset_ext.cache.entries import Entries, Lifetime, Lookup, Policy
from superset_ext.cache.envelope import Envelope
from superset_ext.cache.query import Read
from superset_ext.cache.redis.server_info import ServerInfo
from superset_ext.cache.store import Reading, Store
from superset_ext.core.clock import skew
from superset_ext.core.warn_once import warn
from superset_ext.errors import CodecError, StoreUnavailable
from superset_ext.events import Miss, Outcome, Stored
from superset_ext.settings import Region, Settings, current

_UNREAD = Lookup(Reading(None, 0, (), None, ""), Miss.ERROR)


class RegionCache(BaseCache):
    """One region. `chart.region_of` makes the right kind for a name.

    Flask-Caching makes it through `factory`. `superset_config` makes that of `RESULTS_BACKEND`, before
    there is an app: it then takes its signing keys from `bind(app)`, or from Flask's current app.

    Args:
        region: which one.
        settings: those of the process if not given.
    """

    stamped = False  # whether a change of data invalidates entries, which then have tags

    def __init__(self, region: Region | str, settings: Settings | None = None) -> None:
        self._settings = settings or current()
        self.region = Region(region)
        self._policy = Policy(self.region, self._settings)
        super().__init__(self._policy.own.timeout)  # type: ignore[no-untyped-call]

    @classmethod
    def factory(cls, app: Any, config: Mapping[str, Any], args: Any, kwargs: Any) -> RegionCache:
        """The region of a config dict, whose timeout and prefix count; Flask-Caching calls this.

        Raises:
            SettingsError: the region has no Redis, its URL is malformed, or there is no secret key.
        """
        heed(Region(config["SUPERSET_EXT_REGION"]), config)
        cache = cls(config["SUPERSET_EXT_REGION"])
        cache.bind(app)
        return cache

    def bind(self, app: Any) -> None:
        """Take the signing keys from an app's `SECRET_KEY` and `PREVIOUS_SECRET_KEY`.

        Raises:
            SettingsError: as for `factory`.
        """
        ring = ring_of(app.config)
        self._entries = Entries(self._policy, self._store, ring)

    def get(self, key: str) -> Any:
        """The value of a key, or `None`."""
        return self.get_many(key)[0]

    def get_many(self, *keys: str) -> list[Any]:
        """The values of some keys in one round trip, `None` for each that is absent."""
        if not keys:
            return []
        started = time.perf_counter()
        try:
            lookups = self._look_up(keys)
        except StoreUnavailable:
            lookups = [_UNREAD] * len(keys)
        return [self._answer(key, lookup, started, len(keys)) for key, lookup in zip(keys, lookups, strict=True)]

    def set(self, key: str, value: Any, timeout: float | None = None) -> bool:
        """Store a value for `timeout` seconds (see `Policy.ttl_ms`); whether it was stored."""
        return bool(self.set_many({key: value}, timeout))

    def set_many(self, mapping: Mapping[str, Any], timeout: float | None = None) -> list[str]:
        """Store values in one round trip; the keys of those that were stored."""
        lives = Lifetime(self._policy.ttl_ms(timeout))
        reads = {key: queries.recall(self.region, key) for key in mapping}
        results: dict[str, bytes | Stored] = {}
        try:
            results = {key: self._encode(key, value, reads[key], lives) for key, value in mapping.items()}
            fates = self._write(results, lives)
        except StoreUnavailable:
            fates = dict.fromkeys(mapping, Stored.ERROR)
        for key, fate in fates.items():
            self._report_set(key, fate, reads[key], lives, results.get(key))
        return [key for key, fate in fates.items() if fate is Stored.STORED]

    def add(self, key: str, value: Any, timeout: float | None = None) -> bool:
        """Store a value unless the key has one that `get` would return; whether it was stored."""
        read, name = queries.recall(self.region, key), self._store.name(key)
        try:
            reading = self._store.read(name)[0]
            lives = self._lifetime(value, self._policy.ttl_ms(timeout))
            if lives.fresh_ms is None or self._is_usable(name, reading):
                return False
            data = self._entries.encode(name, value, read or queries.unasked(reading), lives)
            return isinstance(data, bytes) and self._store.swap(name, reading.data, data, lives.ttl_ms)
        except StoreUnavailable:
            return False

    def has(self, key: str) -> bool:
        """Whether `get` would return a value, or a stored `None`; it is not counted."""
        name = self._store.name(key)
        with suppress(StoreUnavailable):
            return self._is_usable(name, self._store.read(name)[0])
        return False

    def delete(self, key: str) -> bool:
        """Delete a key; whether it was there."""
        return bool(self.delete_many(key))

    def delete_many(self, *keys: str) -> list[str]:
        """Delete all of some keys; those that were there. (Flask-Caching's own stops at the first that was not.)"""
        try:
            deleted = self._store.delete(*map(self._store.name, keys))
        except StoreUnavailable:
            return []
        return [key for key, was_there in zip(keys, deleted, strict=True) if was_there]

    def unlink(self, *keys: str) -> list[str]:
        """Delete keys without making Redis wait for it, as every deletion here does."""
        return self.delete_many(*keys)

    def clear(self) -> bool:
        """Delete every entry of this region and nothing else; whether Redis did."""
        with suppress(StoreUnavailable):
            bulk.clear(self._store)
            return True
        return False

    def erase(self) -> bool:
        """Delete all that this region has ever written to its Redis; whether Redis did."""
        with suppress(StoreUnavailable):
            bulk.erase(self._store)
            return True
        return False

    def inc(self, key: str, delta: int = 1) -> int | None:
        """Add to a number, 0 where there is none, atomically; the new one, `None` where that failed.

        Another writer may always be faster, so it is tried for as long as an operation may take.
        """
        end = time.monotonic() + self._settings.total_timeout_ms / 1000
        try:
            while (number := self._added(key, delta)) is None and time.monotonic() < end:
                pass
            return number
        except (StoreUnavailable, CodecError, TypeError):
            return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """Take from a number; see `inc`."""
        return self.inc(key, -delta)

    def server_info(self) -> ServerInfo | None:
        """The memory of this region's server, asked now; `None` where it does not answer."""
        try:
            return self._store.server_info()
        except StoreUnavailable:
            return None

    def unreached(self) -> str | None:
        """Why this region's server does not answer, asked now, as it said itself; `None` where it does."""
        try:
            self._store.server_info()
        except StoreUnavailable as error:
            return str(error)
        return None

    def remembered(self) -> int | None:
        """Entries that should still be there, at most `key_memory`; `None` where the server does not answer."""
        try:
            return self._store.remembered()
        except StoreUnavailable:
            return None

    def server_skew(self) -> float | None:
        """Seconds by which the server's clock is surely ahead of this machine's; `None` where it does not answer."""
        before = time.time()
        try:
            at = self._store.clock().time_us / 1e6
        except StoreUnavailable:
            return None
        return skew(at, before, time.time())

    @cached_property
    def _store(self) -> Store:
        return store_of(self._policy, self.region, self.stamped)

    @cached_property
    def _entries(self) -> Entries:
        self.bind(current_app)
        return self._entries

    def _look_up(self, keys: Sequence[str]) -> list[Lookup]:
        """What the server knows of some keys, judged.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        names = [self._store.name(key) for key in keys]
        readings = self._store.read(*names)
        return [Lookup(reading, self._judge(name, reading)) for name, reading in zip(names, readings, strict=True)]

    def _judge(self, name: str, reading: Reading) -> Miss | tuple[Envelope, Any]:
        """The entry and the value of a reading, or why there is none that may be used."""
        return self._entries.judge(name, reading)

    def _is_usable(self, name: str, reading: Reading) -> bool:
        return not isinstance(self._judge(name, reading), Miss)

    def _answer(self, key: str, lookup: Lookup, started: float, of: int) -> Any:
        """Report what the read of a key came to, one `of` several that began together, and return its value."""
        reading, took = lookup.reading, (time.perf_counter() - started) * 1000 / of
        size = len(reading.data or b"")
        if isinstance(lookup.verdict, Miss):
            read = Read(reading.time_us, started, reading.run_id, reading.last_stamp)
            queries.remember(self.region, key, read, self._store.server_clock)
            queries.report(key, Outcome(self.region, lookup.verdict, took, size))
            return None
        envelope, value = lookup.verdict
        event = Outcome(
            self.region, None, took, size, envelope.cost_ms, tags=envelope.tags, stale=lookup.stale,
            coalesced=lookup.coalesced,
        )  # fmt: skip
        queries.report(key, event)
        return value

    def _lifetime(self, value: Any, passed_ms: int | None) -> Lifetime:
        """How long a value lives for which Superset asks for `passed_ms` milliseconds."""
        return Lifetime(passed_ms)

    def _encode(self, key: str, value: Any, read: Read | None, lives: Lifetime) -> bytes | Stored:
        if lives.fresh_ms is None:
            return Stored.REFUSED
        name = self._store.name(key)
        if self._policy.capped and self._store.is_full(name, self._settings.max_memory_share):
            return self._full()
        return self._entries.encode(name, value, read, lives)

    def _write(self, results: Mapping[str, bytes | Stored], lives: Lifetime) -> dict[str, Stored]:
        """Store what has bytes; delete the old value of what has none, since it is out of date now."""
        name = self._store.name
        entries = {key: data for key, data in results.items() if isinstance(data, bytes)}
        fates = {key: fate for key, fate in results.items() if isinstance(fate, Stored)}
        self._store.delete(*map(name, fates))
        if not entries:
            return fates
        kept = self._store.write({name(key): data for key, data in entries.items()}, lives.ttl_ms)
        return fates | {key: self._fate(fits) for key, fits in zip(entries, kept, strict=True)}

    def _fate(self, kept: bool | None) -> Stored:
        return Stored.SUPERSEDED if kept is None else Stored.STORED if kept else self._full()

    def _full(self) -> Stored:
        warn(
            f"memory {self.region}",
            "Redis has no room for the region %s; raise its maxmemory, or set maxmemory-policy to volatile-lru",
            self.region,
        )
        return Stored.MEMORY

    def _report_set(self, key: str, fate: Stored, read: Read | None, lives: Lifetime, data: Any) -> None:
        took = (time.perf_counter() - read.started) * 1000 if read else 0.0
        size, fresh = len(data) if isinstance(data, bytes) else 0, lives.fresh_ms
        seconds = None if fresh is None else fresh / 1000
        queries.report(key, Outcome(self.region, fate, took, size, seconds=seconds, tags=lives.tags))

    def _added(self, key: str, delta: int) -> int | None:
        """One attempt of `inc`: `None` where another writer was faster."""
        name = self._store.name(key)
        reading = self._store.read(name)[0]
        verdict = self._judge(name, reading)
        absent = isinstance(verdict, Miss)
        number: int = delta if isinstance(verdict, Miss) else verdict[1] + delta
        read = Read(reading.time_us, time.perf_counter(), reading.run_id, reading.last_stamp)
        lives = self._lifetime(number, self._policy.ttl_ms(None) or 0)
        data = self._entries.pack(name, number, read, lives)
        stored = self._store.swap(name, reading.data, data, lives.ttl_ms if absent else None)
        return number if stored else None
