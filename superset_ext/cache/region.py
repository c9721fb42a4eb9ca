"""A cache region: what Superset gets for each of its six caches, through Flask-Caching's contract.

Nothing here raises because of Redis: a get that cannot be answered is a miss, a set that cannot be
stored is False, and each is counted with its reason. What each region stores and for how long is in
`policy.py`, what makes an entry usable in `entries.py`, what Redis is asked in `store.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flask import current_app
from flask_caching.backends.base import BaseCache

from superset_ext.cache import query as queries
from superset_ext.cache.entries import Entries, Lifetime, TimedRead, is_old, reads_needed
from superset_ext.cache.envelope import Envelope
from superset_ext.cache.keyring import KeyRing
from superset_ext.cache.policy import Policy
from superset_ext.cache.redis.connect import connect
from superset_ext.cache.redis.node import ServerInfo
from superset_ext.cache.single_flight import Found, Shared
from superset_ext.cache.store import Reading, Store
from superset_ext.core.clock import skew
from superset_ext.core.warn_once import warn
from superset_ext.errors import CodecError, StoreUnavailable
from superset_ext.events import Miss, Outcome, Stored
from superset_ext.settings import Region, Settings, current

_RACES = 16  # attempts of `inc`: a counter that changes so often between read and write is none for a cache


class RegionCache(BaseCache):
    """One region.

    Built by Flask-Caching through `factory`; built in `superset_config` for `RESULTS_BACKEND`, where
    no app exists yet: it then takes its signing keys from `bind(app)`, or from Flask's current app.

    Args:
        region: which one.
        settings: those of the process where not given.
    """

    def __init__(self, region: Region | str, settings: Settings | None = None) -> None:
        self._settings = settings or current()
        self.region = Region(region)
        super().__init__(self._settings.region(self.region).timeout)  # type: ignore[no-untyped-call]
        self._policy = Policy(self.region, self._settings)
        self._opened: Store | None = None
        self._made: Entries | None = None

    @classmethod
    def factory(cls, app: Any, config: Mapping[str, Any], args: Any, kwargs: Any) -> RegionCache:
        """What Flask-Caching calls with the region's config dict.

        Raises:
            SettingsError: the region has no Redis, its URL is malformed, or there is no secret key.
        """
        cache = cls(config["SUPERSET_EXT_REGION"])
        cache.bind(app)
        return cache

    def bind(self, app: Any) -> None:
        """Take the signing keys from an app's `SECRET_KEY` and `PREVIOUS_SECRET_KEY`.

        Raises:
            SettingsError: see `factory`.
        """
        previous = app.config.get("PREVIOUS_SECRET_KEY")
        ring = KeyRing(app.config["SECRET_KEY"], [previous] if previous else [])
        self._made = Entries(self._policy, self._store, ring)
        self._readers = Shared(self._store, self._made, self._settings)

    def get(self, key: str) -> Any:
        """The value of a key, or `None`."""
        return self._get([key])[0]

    def get_many(self, *keys: str) -> list[Any]:
        """The values of some keys in one round trip, `None` for each that is absent."""
        return self._get(keys) if keys else []

    def set(self, key: str, value: Any, timeout: float | None = None) -> bool:
        """Store a value for `timeout` seconds (see `Policy.ttl_ms`); whether it was stored."""
        return bool(self._set({key: value}, timeout))

    def set_many(self, mapping: Mapping[str, Any], timeout: float | None = None) -> list[str]:
        """Store values in one round trip; the keys of those that were stored."""
        return self._set(mapping, timeout)

    def add(self, key: str, value: Any, timeout: float | None = None) -> bool:
        """Store a value unless the key has one that `get` would return; whether it was stored."""
        read, name = queries.recall(self.region, key), self._store.name(key)
        try:
            reading = self._store.read(name)[0]
            lives = self._entries.lives(value, self._policy.ttl_ms(timeout))
            if lives.fresh_ms is None or self._usable(key, reading):
                return False
            data = self._entries.encode(key, value, read, lives)
            return isinstance(data, bytes) and self._store.swap(name, reading.data, data, lives.ttl_ms)
        except StoreUnavailable:
            return False

    def has(self, key: str) -> bool:
        """Whether `get` would find a value, which may be `None`; it is not counted."""
        try:
            reading = self._store.read(self._store.name(key))[0]
        except StoreUnavailable:
            return False
        return self._usable(key, reading)

    def delete(self, key: str) -> bool:
        """Delete a key; whether it was there."""
        return bool(self.delete_many(key))

    def delete_many(self, *keys: str) -> list[str]:
        """Delete all of some keys; those that were there. (Flask-Caching's own stops at the first that was not.)"""
        try:
            gone = self._store.delete(*map(self._store.name, keys))
        except StoreUnavailable:
            return []
        return [key for key, was_there in zip(keys, gone, strict=True) if was_there]

    def unlink(self, *keys: str) -> list[str]:
        """Delete keys without making Redis wait for it, as every deletion here does."""
        return self.delete_many(*keys)

    def clear(self) -> bool:
        """Delete every entry of this region and nothing else; whether Redis did."""
        return _done(self._store.clear)

    def erase(self) -> bool:
        """Delete all that this region has ever written to its Redis; whether Redis did."""
        return _done(self._store.erase)

    def inc(self, key: str, delta: int = 1) -> int | None:
        """Add to a number, 0 where there is none, atomically; the new one, `None` where that failed."""
        try:
            return next((number for _ in range(_RACES) if (number := self._added(key, delta)) is not None), None)
        except (StoreUnavailable, CodecError, TypeError):
            return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """Take from a number; see `inc`."""
        return self.inc(key, -delta)

    def stamp(self, tags: Collection[str]) -> float:
        """Have whatever carries one of some tags, and was read until now, be used no more; seconds since 1970.

        Raises:
            StoreUnavailable: Redis did not answer; some of it may still be used.
        """
        return self._store.stamp(tags) / 1e6

    def delete_like(self, pattern: str) -> int:
        """Delete the entries whose keys match a pattern with `*` and `?`; how many those were.

        Raises:
            StoreUnavailable: Redis did not answer; some may be left.
        """
        return self._store.delete_like(pattern)

    def seconds_left(self, keys: Sequence[str]) -> list[float | None]:
        """How long each entry is still fresh, `None` where there is none; nothing is counted.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        left = self._store.left_ms([self._store.name(key) for key in keys])
        return [None if ms is None else ms / 1000 for ms in left]

    def server_info(self) -> ServerInfo | None:
        """The memory of this region's server, asked now; `None` where it does not answer."""
        try:
            return self._store.server_info()
        except StoreUnavailable:
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

    @property
    def _store(self) -> Store:
        if self._opened is None:
            own, budget = self._settings.region(self.region), self._policy.budget()
            topology = connect(self._settings.region_url(self.region), own.pool_size, budget)
            memory = self._settings.key_memory
            self._opened = Store(topology, own.prefix, self._policy.stamped, memory, budget.total)
        return self._opened

    @property
    def _entries(self) -> Entries:
        while self._made is None:
            self.bind(current_app)
        return self._made

    def _get(self, keys: Sequence[str]) -> list[Any]:
        started = time.perf_counter()
        query = queries.current()
        forced = self._policy.stamped and query is not None and query.scope.forced
        try:
            # A forced read asks for the time alone: what its query will find is as of now.
            clock = self._store.clock() if forced else None
            readings = [clock] * len(keys) if clock else self._store.read(*map(self._store.name, keys))
        except StoreUnavailable:
            for key in keys:
                self._missed(key, Reading(None, 0, (), None, ""), Miss.ERROR, started, len(keys), 0)
            return [None] * len(keys)
        return [self._found(key, r, started, len(keys), forced) for key, r in zip(keys, readings, strict=True)]

    def _found(self, key: str, reading: Reading, started: float, of: int, forced: bool) -> Any:
        found = Found(reading, Miss.FORCED if forced else self._entries.judge(key, reading))
        query = queries.current() if of == 1 else None
        if self._policy.stamped:
            found = self._readers.found(key, found, query)
        if isinstance(found.verdict, Miss):
            self._missed(key, found.reading, found.verdict, started, of, len(reading.data or b""))
            return None
        envelope, value = found.verdict
        if query is not None:
            query.tags |= set(envelope.tags)
        if needed := reads_needed(envelope):
            self._used(key, envelope, needed)
        took, size = _ms(started) / of, len(found.reading.data or b"")
        event = Outcome(self.region, None, took, size, envelope.cost_ms, tags=envelope.tags)
        queries.report(key, replace(event, stale=found.stale, coalesced=found.coalesced))
        return value

    def _used(self, key: str, envelope: Envelope, needed: int) -> None:
        """Count a read of an entry that lives to its end only if it is read often enough."""
        until_us = envelope.fresh_until_us
        left_ms = max(1, (until_us - self._store.now_us()) // 1000) if until_us else 0
        with suppress(StoreUnavailable):
            self._store.used(self._store.name(key), envelope.entry_id, needed, left_ms)

    def _usable(self, key: str, reading: Reading) -> bool:
        verdict = self._entries.judge(key, reading)
        return not isinstance(verdict, Miss) and not is_old(verdict[0], reading)

    def _missed(self, key: str, reading: Reading, why: Miss, started: float, of: int, size: int) -> None:
        queries.remember(self.region, key, TimedRead(reading.time_us, started, reading.run_id))
        queries.report(key, Outcome(self.region, why, _ms(started) / of, size))

    def _set(self, mapping: Mapping[str, Any], timeout: float | None) -> list[str]:
        reads = {key: queries.recall(self.region, key) for key in mapping}
        fates: dict[str, Stored] = {}
        for lives, values in self._timed(mapping, self._policy.ttl_ms(timeout)).items():
            fates |= self._stored(values, lives, reads)
        for key in mapping:
            query = queries.current()
            if query is not None and (lease := query.leases.pop(key, None)):
                lease.release(filled=fates[key] in (Stored.STORED, Stored.SUPERSEDED))
        return [key for key, fate in fates.items() if fate is Stored.STORED]

    def _timed(self, mapping: Mapping[str, Any], passed: int | None) -> dict[Lifetime, dict[str, Any]]:
        """The values by how long they live."""
        found: dict[Lifetime, dict[str, Any]] = {}
        for key, value in mapping.items():
            lives = self._entries.lives(value, passed)
            found.setdefault(lives, {})[key] = value
        return found

    def _stored(self, values: Mapping[str, Any], lives: Lifetime, reads: Mapping[str, queries.Read | None]) -> Any:
        results: dict[str, bytes | Stored] = {}
        try:
            results = {key: self._encoded(key, value, lives, reads[key]) for key, value in values.items()}
            fates = self._written(results, lives, fenced=any(reads[key] for key in values))
        except StoreUnavailable:
            fates = dict.fromkeys(values, Stored.ERROR)
        for key, fate in fates.items():
            read, data = reads[key], results.get(key)
            size = len(data) if isinstance(data, bytes) else 0
            took, fresh = _ms(read.started) if read else 0.0, None if lives.fresh_ms is None else lives.fresh_ms / 1000
            queries.report(key, Outcome(self.region, fate, took, size, seconds=fresh, tags=lives.tags))
        return fates

    def _encoded(self, key: str, value: Any, lives: Lifetime, read: queries.Read | None) -> bytes | Stored:
        if lives.fresh_ms is None:
            return Stored.REFUSED
        if self._policy.capped and self._store.filled(self._store.name(key), self._settings.max_memory_share):
            return self._full()
        return self._entries.encode(key, value, read, lives)

    def _written(self, results: Mapping[str, bytes | Stored], lives: Lifetime, fenced: bool) -> dict[str, Stored]:
        """Store what has bytes; delete the old value of what has none, since it is out of date now."""
        name = self._store.name
        entries = {key: data for key, data in results.items() if isinstance(data, bytes)}
        fates = {key: fate for key, fate in results.items() if isinstance(fate, Stored)}
        self._store.delete(*map(name, fates))
        if not entries:
            return fates
        write = self._store.fill if fenced and self._policy.stamped else self._store.write
        kept = write({name(key): data for key, data in entries.items()}, lives.ttl_ms)
        return fates | {k: self._fate(fits) for k, fits in zip(entries, kept, strict=True)}

    def _fate(self, kept: bool | None) -> Stored:
        return Stored.SUPERSEDED if kept is None else Stored.STORED if kept else self._full()

    def _full(self) -> Stored:
        warn(
            f"memory {self.region}",
            "Redis has no room for the region %s; raise its maxmemory, or set maxmemory-policy to volatile-lru",
            self.region,
        )
        return Stored.MEMORY

    def _added(self, key: str, delta: int) -> int | None:
        """One attempt of `inc`: `None` where another writer was faster."""
        name = self._store.name(key)
        reading = self._store.read(name)[0]
        verdict = self._entries.judge(key, reading)
        absent = isinstance(verdict, Miss)
        number: int = delta if isinstance(verdict, Miss) else verdict[1] + delta
        read = TimedRead(reading.time_us, time.perf_counter(), reading.run_id)
        lives = self._entries.lives(number, self._policy.ttl_ms(None) or 0)
        data = self._entries.pack(key, number, read, lives)
        stored = self._store.swap(name, reading.data, data, lives.ttl_ms if absent else None)
        return number if stored else None


def _done(command: Callable[[], object]) -> bool:
    """Whether Redis did it."""
    try:
        command()
    except StoreUnavailable:
        return False
    return True


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
