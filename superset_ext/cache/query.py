"""The chart query under way: whose it is, and which set belongs to which get.

The seam runs each chart query as a `Query`. Its gets and sets are paired by key, because annotation charts nest
(get A, get B, set B, set A). Their outcomes are sent only when the query ends: an entry that was read but not used is a
rejected miss, and that is known only by then.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from superset_ext.cache import used
from superset_ext.cache.lease import Lease
from superset_ext.cache.sent import Sent, began
from superset_ext.cache.store import Reading, ServerClock
from superset_ext.cache.tags import ANY, object_tag, tables_tag
from superset_ext.core.signals import tell
from superset_ext.events import WARM, Answer, Asked, Miss, Outcome, Scope, Stored, asked, outcome
from superset_ext.settings import Region

_LOOSE_SECONDS = 300.0
_PAIRS = 64  # reads remembered outside a query: enough for the deepest nesting of memoized calls seen


@dataclass(frozen=True, slots=True)
class Read:
    """What a get leaves behind for the set that may follow it.

    Attributes:
        as_of_us: Redis server time in microseconds when the read began, 0 where Redis did not say.
        started: `time.perf_counter()` when the read began, in seconds.
        run_id: of the server that said the time, and the era of its stamps; empty if unknown.
        last_stamp: the last stamp that the region had given when the read began.
    """

    as_of_us: int
    started: float
    run_id: str = ""
    last_stamp: int = 0


Views = tuple[str, int]


@dataclass(slots=True)
class Query:
    """One chart query under way.

    Attributes:
        scope: whose it is, and of what.
        source: Superset's datasource, `None` where there is none.
        outer: the query that this one is a part of.
        tags: what its answers, and those of its parts, depend on.
        opened: tags of Superset's objects that it reads through: annotation layers, nested datasets.
        leases: of the keys that it computes the answer of, for others too.
        reads: what the gets that missed left behind, by region and key.
        gets: the outcome of the last get of each key.
        sets: the outcome of the last set of each key.
        sent: what it has sent to sources, itself and not its parts.
        views: the run of Redis and the stamp of `VIEWS` when its read began, `None` where they are not known.
        seen_until_us: the least of those of its parts that read from a replica; see `Sent`.
        supposed: what its key was made of without asking the source.
        started: `time.perf_counter()` when it began, in seconds.
        known_since: says since when what it is made of is known, as `started`; `None` where that says nothing.
    """

    scope: Scope
    source: Any = None
    outer: Query | None = None
    tags: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)
    leases: dict[str, Lease] = field(default_factory=dict)
    reads: dict[tuple[str, str], Read] = field(default_factory=dict)
    gets: dict[str, Outcome] = field(default_factory=dict)
    sets: dict[str, Outcome] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    views: Views | None = None
    seen_until_us: int | None = None
    supposed: dict[Any, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    known_since: Callable[[], float | None] = lambda: None

    def lease(self, key: str) -> Lease | None:
        """The lease of a key that this query, or one that it is a part of, has."""
        lease = self.leases.get(key)
        return lease if lease or self.outer is None else self.outer.lease(key)

    def release(self) -> None:
        """Give back the leases of answers that were not stored; add to the outer query what this one depended on."""
        for lease in self.leases.values():
            lease.release(filled=False)
        if self.outer is not None:
            self.outer.seen_until_us = _least(self.outer.seen_until_us, self.seen_until())
            self.outer.tags |= self.opened | (self.tags or _unknown(self.scope))

    def seen_until(self) -> int | None:
        """Up to when its rows surely have what was committed: the least of all replicas, `None` if it asked none."""
        return _least(self.seen_until_us, *(sent.seen_until_us for sent in self.sent))

    def refuse(self) -> None:
        """Have its answers not stored: their keys were made of what the source says otherwise by now."""
        self.seen_until_us = 0

    def keep(self, key: str, event: Outcome) -> None:
        """Keep a get's outcome until the query ends; the last one of a key counts."""
        self.gets[key] = event

    def reject(self, key: str) -> None:
        """Turn the hit of `key` into a miss: the caller read the entry and ran the query all the same."""
        event = self.gets.get(key)
        if event is not None and event.result is None:
            self.gets[key] = replace(event, result=Miss.REJECTED, saved_ms=0.0)

    def close(self) -> None:
        """Send the outcomes that were kept, as far as the scope is counted."""
        for event in self.gets.values():
            if self.scope.counted and (self.scope.count_misses or event.result is None):
                tell(outcome, event.region, event)

    def asked(self) -> Asked:
        """The whole query, for warming, which asks it again."""
        return Asked(self.scope, tuple(self._answer(key, event) for key, event in self.gets.items()))

    def _answer(self, key: str, event: Outcome) -> Answer:
        stored = self.sets.get(key)
        fate = stored.result if stored and isinstance(stored.result, Stored) else None
        cost = stored.ms if stored else event.saved_ms
        tags = (stored or event).tags
        return Answer(key, event.result is None, fate, cost, stored.seconds if stored else None, tags)


_query: ContextVar[Query | None] = ContextVar("superset_ext_query", default=None)
_loose: ContextVar[OrderedDict[tuple[str, str], Read] | None] = ContextVar("superset_ext_reads", default=None)


def current() -> Query | None:
    """The query that the calling code runs in, if any."""
    return _query.get()


def _least(*times: int | None) -> int | None:
    return min((when for when in times if when is not None), default=None)


def _unknown(scope: Scope) -> set[str]:
    """What a query depends on that neither got its answer from the cache nor stored it there."""
    return {ANY} if scope.database_id is None else {tables_tag(scope.database_id)}


@contextmanager
def running(scope: Scope, source: Any = None, shown: Iterable[str] = ()) -> Iterator[Query]:
    """Run a block as one chart query of `scope`; its outcomes are sent when it ends, however it ends.

    Args:
        source: Superset's datasource.
        shown: tags of what it shows beside its own rows: annotation layers, and charts as such.
    """
    outer = _query.get()
    if source is not None and (noted := used.watched.get()) is not None:
        noted.sources.append(source)
    query = Query(scope, source, outer, opened=set(shown))
    token = _query.set(query)
    try:
        yield query
    finally:
        _query.reset(token)
        query.release()
        query.close()
        if outer is None and query.gets and not scope.own:
            tell(asked, scope.channel, query.asked())


def note_opened(kind: str, number: int) -> None:
    """Note that the query under way reads through an object of Superset's, such as a nested dataset."""
    query = _query.get()
    if query is not None:
        query.opened.add(object_tag(kind, number))


def remember(region: str, key: str, read: Read, clock: ServerClock) -> None:
    """Note that a get of `key` missed, for the set that may follow it; `clock` is that of the server that was read."""
    query = _query.get()
    if query is not None:
        query.reads[(region, key)] = _known(read, query, clock)
        return
    reads = _loose.get()
    if reads is None:
        reads = OrderedDict()
        _loose.set(reads)
    reads[(region, key)] = read
    if len(reads) > _PAIRS:
        reads.popitem(last=False)


def _known(read: Read, query: Query, clock: ServerClock) -> Read:
    """A read of just now by a query, which knows no mark from after what it is made of was read.

    Where a mark is later than the time of the read, the clock of the server was put back, and says nothing of marks.
    """
    since = query.known_since()
    if since is None or read.last_stamp > read.as_of_us:
        return read
    until_us = clock.at(since, read.started, read.as_of_us)
    return replace(read, last_stamp=max(0, min(read.last_stamp, until_us)))


def recall(region: str, key: str) -> Read | None:
    """The read that this set of `key` belongs to, once."""
    query = _query.get()
    if query is not None:
        return query.reads.pop((region, key), None)
    reads = _loose.get()
    read = reads.pop((region, key), None) if reads else None
    # Outside a query nothing says where a request ends, and a thread serves many.
    return read if read is None or time.perf_counter() - read.started < _LOOSE_SECONDS else None


def unasked(reading: Reading) -> Read:
    """What stands for the read of a value that is stored without a get before it.

    It began when the query did that stores it, or when its SQL was sent; else it is as of now.

    Args:
        reading: of the server's time, made now.
    """
    query, now = _query.get(), time.perf_counter()
    since = query.started if query is not None else began()
    if since is None:
        return Read(reading.time_us, now, reading.run_id, reading.last_stamp)
    as_of_us = reading.time_us - int((now - since) * 1e6)
    return Read(as_of_us, since, reading.run_id, min(reading.last_stamp, as_of_us))


def of_replica(read: Read) -> Read | None:
    """A read as the query under way saw its sources: earlier than it began, where it saw a replica that lags.

    `None` if a replica did not say how far it is.
    """
    query = _query.get()
    until_us = query.seen_until() if query is not None else None
    if until_us is None:
        return read
    earlier = replace(read, as_of_us=min(read.as_of_us, until_us), last_stamp=min(read.last_stamp, until_us))
    return earlier if until_us else None


def report(key: str, event: Outcome) -> None:
    """Send the outcome of a get or a set: of a query's chart reads at its end, of all else at once."""
    query = _query.get()
    if query is None:
        tell(outcome, event.region, event)
        return
    event = replace(event, scope=query.scope)
    if event.region != Region.CHART_DATA:
        tell(outcome, event.region, event)
    elif isinstance(event.result, Stored):
        query.reject(key)
        query.sets[key] = event
        # What warming waits for is nobody's response time.
        tell(outcome, event.region, event if query.scope.channel != WARM else replace(event, ms=0.0))
    else:
        query.keep(key, event)
