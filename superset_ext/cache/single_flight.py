"""What a chart's read comes to when other readers are taken into account: who waits, who refreshes, who runs the query.

- Fresh: it is the answer.
- Old, but within its grace: it is the answer too, and one reader has it refreshed.
- Anything else: one reader gets the lease and runs the query, the others wait for what it stores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from superset_ext.cache.entries import Entries, is_old
from superset_ext.cache.envelope import Envelope
from superset_ext.cache.flights import SAME_CLICK_US, Flights
from superset_ext.cache.lease import Busy, Lease
from superset_ext.cache.query import Query
from superset_ext.cache.store import Reading, Store
from superset_ext.errors import StoreUnavailable
from superset_ext.events import Miss, Stale, stale
from superset_ext.settings import Settings

_MARGIN = 0.01  # seconds after which a lease that was not renewed has certainly ended


@dataclass(frozen=True, slots=True)
class Found:
    """What a read came to.

    Attributes:
        reading: the last one.
        verdict: the entry, or why there is none.
        stale: whether it is old, and somebody refreshes it.
        coalesced: whether another reader's query answered it.
    """

    reading: Reading
    verdict: Miss | tuple[Envelope, Any]
    stale: bool = False
    coalesced: bool = False


class Shared:
    """The readers of one region."""

    def __init__(self, store: Store, entries: Entries, settings: Settings) -> None:
        self._store = store
        self._entries = entries
        self._settings = settings
        self._flights = Flights(store, settings.lease_seconds)

    def found(self, key: str, first: Found, query: Query | None) -> Found:
        """What a chart's read of `key` comes to whose first reading is `first`."""
        verdict, old = first.verdict, _old(first)
        if not isinstance(verdict, Miss) and not old:
            return first
        miss = replace(first, verdict=Miss.EXPIRED) if old else first
        # A probe never runs the query, and whoever runs it already does not wait for itself.
        if query is None or not query.scope.count_misses or verdict is Miss.ERROR or query.lease(key):
            return miss
        try:
            if old and not query.scope.refreshing:
                return self._old(key, first, query)
            return self._awaited(key, miss, query) if self._settings.wait_seconds else miss
        except StoreUnavailable:
            return replace(first, stale=True) if old else miss

    def _old(self, key: str, first: Found, query: Query) -> Found:
        """Give what is old, and have it refreshed unless somebody does; where nobody can, run the query."""
        lease = self._flights.lease(self._store.name(key), first.reading.time_us)
        busy, reading = self._store.lease(lease, self._settings.lease_seconds, 0)
        if busy is not None:
            return replace(first, stale=True)
        again = Found(reading, self._entries.judge(key, reading))
        if not isinstance(again.verdict, Miss) and not _old(again):
            lease.release(filled=True)
            return again
        self._flights.begin(lease)
        if any(taken for _, taken in stale.send(query.scope.channel, event=Stale(query.scope, lease))):
            return replace(first, stale=True)
        query.leases[key] = lease
        return replace(again, verdict=Miss.EXPIRED)

    def _awaited(self, key: str, miss: Found, query: Query) -> Found:
        """Wait for somebody's answer, or be the one who has the lease."""
        name, end = self._store.name(key), time.monotonic() + self._settings.wait_seconds
        lease = self._flights.lease(name, miss.reading.time_us)
        with self._flights.waiting(name) as wake:
            while True:
                busy, found = self._asked(key, lease, miss, query.scope.forced)
                if busy is None:
                    return self._owned(key, lease, found, miss, query)
                left = end - time.monotonic()
                if found.coalesced or left <= 0 or wake.failed:
                    return found if found.coalesced else miss
                self._flights.wait(wake, min(left, busy.seconds + _MARGIN))

    def _asked(self, key: str, lease: Lease, miss: Found, forced: bool) -> tuple[Busy | None, Found]:
        """Ask for the lease; the entry is taken where it answers what was asked when the read began."""
        since = miss.reading.time_us - SAME_CLICK_US if forced else _newest(miss.reading)
        busy, reading = self._store.lease(lease, self._settings.lease_seconds, since)
        found = Found(reading, self._entries.judge(key, reading))
        usable = not isinstance(found.verdict, Miss) and not _old(found)
        if usable and forced:
            usable = _as_of_the_click(found.verdict, miss.reading.time_us)
        return busy, replace(found, coalesced=usable)

    def _owned(self, key: str, lease: Lease, found: Found, miss: Found, query: Query) -> Found:
        """The caller has the lease: it runs the query, unless that was done between its two readings."""
        if found.coalesced:
            lease.release(filled=True)
            return found
        self._flights.begin(lease)
        query.leases[key] = lease
        return Found(found.reading, miss.verdict)


def _old(found: Found) -> bool:
    return not isinstance(found.verdict, Miss) and is_old(found.verdict[0], found.reading)


def _newest(reading: Reading) -> int:
    """When a read must have begun that leads to anything that this reader may use: after every stamp it has seen."""
    return max((stamp + 1 for stamp in reading.stamps if stamp is not None), default=0)


def _as_of_the_click(verdict: Any, began_us: int) -> bool:
    """Whether an entry is what a forced read would find: its query was under way, and no older than a click."""
    envelope: Envelope = verdict[0]
    return envelope.as_of_us >= began_us - SAME_CLICK_US and envelope.stored_at_us >= began_us
