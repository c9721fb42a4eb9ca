"""The region of chart data: stamps, grace and leases, beside what a plain region does.

What a read of one key comes to:

- Fresh: it is the answer. An entry is fresh in its time, while no stamp of its tags is later than its read.
- Old, but within its grace: it is the answer too, and one reader has it refreshed. A stamp ends the grace.
- Anything else: one reader gets the lease and runs the query, the others wait for what it stores.

A forced read takes nothing that is stored; it may only join a query that began at the same click.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from superset_ext.cache import bulk, click, heard, rules, tuned, usage, used
from superset_ext.cache import query as queries
from superset_ext.cache.dependencies import Depends, depends
from superset_ext.cache.entries import Lifetime, Lookup
from superset_ext.cache.envelope import Envelope
from superset_ext.cache.kept import Kept
from superset_ext.cache.lease import Busy, Lease
from superset_ext.cache.query import Query, Read, Views
from superset_ext.cache.region import RegionCache
from superset_ext.cache.single_flight import SingleFlight
from superset_ext.cache.stamps import Health, health, outdated, repair, stamp
from superset_ext.cache.store import Reading, whole
from superset_ext.cache.tags import USAGE
from superset_ext.errors import StoreUnavailable
from superset_ext.events import Miss, Stored
from superset_ext.settings import Region, Settings

SAME_CLICK_US = 2_000_000  # forced reads within this time are taken for one: both want what is true now
_MARGIN = 0.01  # seconds after which a lease that was not renewed has certainly ended

Refresh = Callable[[Lease], bool]


class ChartCache(RegionCache):
    """The region of chart data.

    Attributes:
        refresh: called with the lease of an old answer, in the context of who asked for it. It returns whether it
            takes the refresh on, and then releases the lease in the end. `None` where nobody does.
        kept: what was made of entries, beside them; once it is bound to an app.
    """

    stamped = True

    def __init__(self, region: Region | str = Region.CHART_DATA, settings: Settings | None = None) -> None:
        super().__init__(region, settings)
        self.refresh: Refresh | None = None

    def bind(self, app: Any) -> None:
        """See `RegionCache.bind`."""
        super().bind(app)
        self._flights = SingleFlight(self._store, self._settings.lease_seconds)
        self._store.unheard = self._distrusts
        self.kept = Kept(self._store, self._entries)

    def set(self, key: str, value: Any, timeout: float | None = None) -> bool:
        """Store a value for `timeout` seconds (see `Policy.ttl_ms`); whether it was stored."""
        read, query = queries.recall(self.region, key), queries.current()
        lease = query.leases.get(key) if query is not None else None
        life = self._lives(value, self._policy.ttl_ms(timeout), query)
        data: bytes | Stored = Stored.ERROR
        behind = False
        try:
            began = read or queries.unasked(self._store.clock())
            seen = queries.of_replica(began)
            behind = seen is not began
            data = Stored.REFUSED if seen is None else self._encode(key, value, seen, life)
            fate = self._fill(key, data, seen, life.ttl_ms, None if behind else lease)
        except StoreUnavailable:
            fate = Stored.ERROR
        self._report_set(key, fate, read, life, data)
        if query is not None and lease is not None:
            del query.leases[key]
            # Who waits for what a replica says may need something newer: they look, and do not wait for one another.
            self._flights.end(lease, filled=fate in (Stored.STORED, Stored.SUPERSEDED) and not behind)
        return fate is Stored.STORED

    def set_many(self, mapping: Mapping[str, Any], timeout: float | None = None) -> list[str]:
        """Store values one after the other; the keys of those that were stored."""
        return [key for key, value in mapping.items() if self.set(key, value, timeout)]

    def stamp(self, tags: Collection[str]) -> float:
        """Invalidate all entries that carry one of some tags and were read until now; seconds since 1970.

        Raises:
            StoreUnavailable: Redis did not answer; some of them may still be used.
        """
        return stamp(self._store, tags) / 1e6

    def stamps_health(self) -> Health:
        """What lies in Redis in the place of stamps.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        return health(self._store)

    def views(self) -> Views | None:
        """The run of Redis and the stamp of `VIEWS`; `None` where Redis does not say.

        What sources have told of their views and partitions is remembered with it, and is of use while it is the same.
        """
        try:
            return _views(self._store.views())
        except StoreUnavailable:
            return None

    def beat(self, database_id: int, tags: Collection[str], hears: bool = True) -> None:
        """Say that a listener hears of all that changes what these tags stand for; see `heard.beat`.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        heard.beat(self._store, database_id, tags, hears)

    def listeners(self) -> dict[int, float]:
        """Seconds since the listener of each watched database was heard, by Superset's id of the database.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        return heard.listeners(self._store)

    def delete_like(self, pattern: str) -> int:
        """Delete the entries whose keys match a pattern with `*` and `?`, and return how many those were.

        Raises:
            StoreUnavailable: Redis did not answer; some may be left.
        """
        return bulk.delete_like(self._store, pattern)

    def run(self, script: bytes, names: Sequence[str], *values: Any) -> Any:
        """Run a script of `lua/` on keys of our own, of these names.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        keys = [f"{self._store.names.area}g:{name}".encode() for name in names]
        return whole(self._store.ask([(keys[0], ("EVALSHA", script, len(keys), *keys, *values))]).replies[0])

    def seconds_left(self, keys: Sequence[str]) -> list[float | None]:
        """How long each entry is still fresh, `None` where there is none; nothing is counted.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        left = bulk.left_ms(self._store, [self._store.name(key) for key in keys])
        return [None if ms is None else ms / 1000 for ms in left]

    def _look_up(self, keys: Sequence[str]) -> list[Lookup]:
        query, waited_us = queries.current(), 0
        if query is not None and query.scope.forced:
            waited_us = click.waited_us()
            # The time alone: what the query of a forced read will find is as of now.
            lookups = [Lookup(self._store.clock(), Miss.FORCED)] * len(keys)
        else:
            lookups = super()._look_up(keys)
            outdated = [lookup.reading for lookup in lookups if lookup.verdict is Miss.INVALIDATED]
            if outdated and repair(self._store, outdated):
                lookups = super()._look_up(keys)
        if query is None or len(keys) > 1:
            return [_without_grace(lookup) for lookup in lookups]
        return [self._shared(keys[0], lookups[0], query, waited_us)]

    def _distrusts(self, until: Mapping[bytes, bytes], time_us: int) -> bool:
        """Whether what nobody tells of was stamped."""
        lost = heard.unheard(until, time_us)
        return bool(lost) and heard.distrust(self._store, lost)

    def _judge(self, name: str, reading: Reading) -> Miss | tuple[Envelope, Any]:
        verdict = self._entries.judge(name, reading)
        return verdict if isinstance(verdict, Miss) else outdated(verdict[0], reading) or verdict

    def _is_usable(self, name: str, reading: Reading) -> bool:
        lookup = Lookup(reading, self._judge(name, reading))
        return not isinstance(_without_grace(lookup).verdict, Miss)

    def _answer(self, key: str, lookup: Lookup, started: float, of: int) -> Any:
        if (noted := used.watched.get()) is not None:
            noted.note(self._store.name(key), _plainly_fresh(lookup))
        if not isinstance(lookup.verdict, Miss):
            envelope = lookup.verdict[0]
            query = queries.current()
            if query is not None and of == 1:
                query.tags.update(envelope.tags)
            if envelope.tags and envelope.tags[-1].startswith(USAGE):
                with suppress(StoreUnavailable):
                    usage.count_read(self._store, self._store.name(key), envelope)
        return super()._answer(key, lookup, started, of)

    def _shared(self, key: str, first: Lookup, query: Query, waited_us: int) -> Lookup:
        """What a read comes to whose first reading is `first`, with other readers taken into account."""
        old, miss = _is_old(first), _without_grace(first)
        # A probe never runs the query, and a query does not wait for itself.
        if not isinstance(miss.verdict, Miss) or not query.scope.count_misses or query.lease(key):
            return miss
        try:
            if old and not query.scope.refreshing:
                return self._in_grace(key, first, query)
            return self._awaited(key, miss, query, waited_us) if self._settings.wait_seconds else miss
        except StoreUnavailable:
            return replace(first, stale=True) if old else miss

    def _in_grace(self, key: str, first: Lookup, query: Query) -> Lookup:
        """Give what is old, and have it refreshed unless that is under way; where nobody can, run the query."""
        name = self._store.name(key)
        lease = self._flights.lease(name, first.reading)
        busy, reading = self._flights.ask(lease)
        if busy is not None:
            return replace(first, stale=True)
        again = Lookup(reading, self._judge(name, reading))
        if not isinstance(_without_grace(again).verdict, Miss):
            lease.release(filled=True)
            return again
        self._flights.begin(lease)
        if self.refresh is not None and self.refresh(lease):
            return replace(first, stale=True)
        query.leases[key] = lease
        query.views = _views(reading)
        return _missed(again, first, Miss.EXPIRED)

    def _awaited(self, key: str, miss: Lookup, query: Query, waited_us: int) -> Lookup:
        """Wait for another reader's answer, or be the one who has the lease."""
        name, end = self._store.name(key), time.monotonic() + self._settings.wait_seconds
        lease = self._flights.lease(name, miss.reading)
        asked_us = miss.reading.time_us - waited_us if query.scope.forced else None
        with self._flights.waiting(lease) as wake:
            while True:
                busy, lookup = self._asked(lease, miss, asked_us)
                if busy is None:
                    return self._owned(key, lease, lookup, miss, query)
                left = end - time.monotonic()
                if lookup.coalesced or left <= 0 or wake.failed:
                    return lookup if lookup.coalesced else miss
                self._flights.wait(wake, min(left, busy.seconds + _MARGIN))

    def _asked(self, lease: Lease, miss: Lookup, asked_us: int | None) -> tuple[Busy | None, Lookup]:
        """Ask for the lease; the entry is taken if it answers what was asked: of a forced read, at `asked_us`."""
        since = (0, _newest(miss.reading)) if asked_us is None else (asked_us - SAME_CLICK_US, 0)
        busy, reading = self._flights.ask(lease, *since)
        lookup = Lookup(reading, self._judge(lease.name, reading))
        answer = _without_grace(lookup).verdict
        usable = not isinstance(answer, Miss) and (asked_us is None or _is_of_the_click(answer[0], asked_us))
        return busy, replace(lookup, coalesced=usable)

    def _owned(self, key: str, lease: Lease, lookup: Lookup, miss: Lookup, query: Query) -> Lookup:
        """The caller has the lease: it runs the query, unless that was done between its two readings."""
        if lookup.coalesced:
            lease.release(filled=True)
            return lookup
        unanswered = _missed(lookup, miss, miss.verdict)
        self._flights.begin(lease)
        query.leases[key] = lease
        query.views = _views(lookup.reading)
        return unanswered

    def _lifetime(self, value: Any, passed_ms: int | None) -> Lifetime:
        return self._lives(value, passed_ms, queries.current())

    def _lives(self, value: Any, passed_ms: int | None, query: Query | None) -> Lifetime:
        if passed_ms is None:
            return Lifetime(None)
        dependencies = depends(value, query, self._settings)
        if dependencies.rule is not None:
            return _ruled(self._settings, dependencies, passed_ms)
        dataset_id = query.scope.dataset_id if query else None
        if dataset_id in tuned.heard.datasets:
            return Lifetime(
                *tuned.lifetime(self._settings, dataset_id, dependencies.tags, passed_ms), dependencies.tags
            )
        return Lifetime(passed_ms, min(int(self._settings.grace_seconds * 1000), passed_ms), dependencies.tags)

    def _fill(self, key: str, data: bytes | Stored, read: Read | None, ttl_ms: int, lease: Lease | None) -> Stored:
        """Store an entry, but not over one that was read later; delete the old value where there is no entry."""
        name = self._store.name(key)
        if isinstance(data, Stored):
            self._store.delete(name)
            return data
        if read is None:
            return self._fate(self._store.write({name: data}, ttl_ms)[0])
        return self._fate(self._store.fill(name, data, ttl_ms, lease))


def region_of(region: Region | str, settings: Settings | None = None) -> RegionCache:
    """The cache of a region: of chart data with stamps, grace and leases, of any other a plain one."""
    kind = ChartCache if Region(region) is Region.CHART_DATA else RegionCache
    return kind(region, settings)


def _views(reading: Reading) -> Views | None:
    return None if reading.views is None or not reading.run_id else (reading.run_id, reading.views)


def _is_old(lookup: Lookup) -> bool:
    """Whether an entry's time is over, so that it may only be given while it is refreshed."""
    verdict = lookup.verdict
    return not isinstance(verdict, Miss) and 0 < verdict[0].fresh_until_us < lookup.reading.time_us


def _without_grace(lookup: Lookup) -> Lookup:
    """The lookup where an old entry has expired."""
    return replace(lookup, verdict=Miss.EXPIRED) if _is_old(lookup) else lookup


def _missed(last: Lookup, first: Lookup, why: Miss | tuple[Envelope, Any]) -> Lookup:
    """A miss whose query is as of the last reading; what it cost to read are the bytes of the first."""
    return Lookup(replace(last.reading, data=first.reading.data), why)


def _newest(reading: Reading) -> int:
    """The stamp that a read must have known that leads to anything that this reader may use."""
    return max((stamp for stamp in reading.stamps if stamp is not None), default=0)


def _is_of_the_click(envelope: Envelope, asked_us: int) -> bool:
    """Whether an entry is what a forced read would find: its query was under way, and no older than a click."""
    return envelope.as_of_us >= asked_us - SAME_CLICK_US and envelope.stored_at_us >= asked_us


def _plainly_fresh(lookup: Lookup) -> Envelope | None:
    """The entry of a lookup that is fresh and waited for nobody."""
    verdict = lookup.verdict
    return None if isinstance(verdict, Miss) or lookup.stale or lookup.coalesced else verdict[0]


def _ruled(settings: Settings, dependencies: Depends, passed_ms: int) -> Lifetime:
    """How long a value lives that follows a rule."""
    if dependencies.rule is None or not dependencies.rule.cache:
        return Lifetime(None, tags=dependencies.tags)
    fresh_ms, grace_ms = rules.lifetime(settings, dependencies.rule, passed_ms)
    return Lifetime(fresh_ms, grace_ms, dependencies.tags, rules.trial_ms(dependencies.rule))
