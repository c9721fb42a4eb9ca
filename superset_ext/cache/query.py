"""Who asks for which chart, dataset and dashboard; and which set belongs to which get.

The seam opens a `Frame` around each chart query. Gets and sets within it are paired by key,
because annotation charts nest (get A, get B, set B, set A), and are told as outcomes only when
the frame closes: an entry that was found but not used is a rejected miss, and that is known only
by then.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from superset_ext.cache.tags import ANY, object_tag, tables_tag
from superset_ext.events import Answer, Asked, Miss, Outcome, Stored, asked, outcome
from superset_ext.settings import Region

if TYPE_CHECKING:
    from superset_ext.cache.lease import Lease

Channel = Literal["web", "embedded", "celery", "report", "cli", "warm"]
WARM: Channel = "warm"
CHANNEL = "superset_ext_channel"  # name in Flask's `g` under which whoever asks for somebody else says so
REFRESHING = "superset_ext_refreshing"  # likewise, whoever asks in order to replace an old answer
_LOOSE_SECONDS = 300.0
_PAIRS = 64  # reads remembered outside a frame: enough for the deepest nesting of memoized calls seen


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks, for what, and how. Ids are Superset's; `None` where there is none."""

    channel: Channel = "web"
    dataset_id: int | None = None
    database_id: int | None = None
    schema: str | None = None
    chart_id: int | None = None
    dashboard_id: int | None = None
    user_id: int | None = None
    forced: bool = False
    counted: bool = True
    count_misses: bool = True
    own: bool = False  # of the package's own dashboards, which are not what they show
    refreshing: bool = False  # an old answer will not do, since it is the one that is to be refreshed


@dataclass(frozen=True, slots=True)
class Read:
    """What a get leaves behind for the set that may follow it.

    Attributes:
        as_of_us: Redis server time in microseconds when the read began, 0 where Redis did not say.
        started: `time.perf_counter()` when the read began, in seconds.
    """

    as_of_us: int
    started: float


@dataclass(slots=True)
class Frame:
    """One chart query under way.

    Attributes:
        scope: whose it is, and of what.
        source: Superset's datasource, `None` where there is none.
        outer: the query that this one is a part of.
        tags: what its answers, and those of its parts, depend on.
        leases: the keys that it runs the query of, for others too.
    """

    scope: Scope
    source: Any = None
    outer: Frame | None = None
    tags: set[str] = field(default_factory=set)
    leases: dict[str, Lease] = field(default_factory=dict)
    reads: dict[tuple[str, str], Read] = field(default_factory=dict)
    told: dict[str, Outcome] = field(default_factory=dict)
    sets: dict[str, Outcome] = field(default_factory=dict)

    def lease(self, key: str) -> Lease | None:
        """The lease of a key that this query, or one that it is a part of, has."""
        found = self.leases.get(key)
        return found if found or self.outer is None else self.outer.lease(key)

    def release(self) -> None:
        """Give back the leases that no answer came of, and tell the outer query what this one depended on."""
        for lease in self.leases.values():
            lease.release(filled=False)
        if self.outer is not None:
            self.outer.tags |= self.tags or _unknown(self.scope)

    def tell(self, key: str, event: Outcome) -> None:
        """Keep a get's outcome until the frame closes; the last one of a key counts."""
        self.told[key] = event

    def reject(self, key: str) -> None:
        """Turn the hit of `key` into a miss: the caller found it and ran the query all the same."""
        event = self.told.get(key)
        if event is not None and event.result is None:
            self.told[key] = replace(event, result=Miss.REJECTED, saved_ms=0.0)

    def close(self) -> None:
        """Send what the frame has kept, as far as its scope is counted."""
        for event in self.told.values():
            if self.scope.counted and (self.scope.count_misses or event.result is None):
                outcome.send(event.region, event=event)

    def asked(self) -> Asked:
        """The whole of it, for whoever wants to ask it again."""
        return Asked(self.scope, tuple(self._answer(key, event) for key, event in self.told.items()))

    def _answer(self, key: str, event: Outcome) -> Answer:
        told = self.sets.get(key)
        fate = told.result if told and isinstance(told.result, Stored) else None
        cost = told.ms if told else event.saved_ms
        tags = (told or event).tags
        return Answer(key, event.result is None, fate, cost, told.seconds if told else None, tags)


_frame: ContextVar[Frame | None] = ContextVar("superset_ext_frame", default=None)
_loose: ContextVar[OrderedDict[tuple[str, str], Read] | None] = ContextVar("superset_ext_reads", default=None)


def current() -> Frame | None:
    """The frame that the calling code runs in, if any."""
    return _frame.get()


def _unknown(scope: Scope) -> set[str]:
    """What a query depends on that neither found its answer in the cache nor stored it there."""
    return {ANY} if scope.database_id is None else {tables_tag(scope.database_id)}


@contextmanager
def framed(scope: Scope, source: Any = None, layers: Iterable[int] = ()) -> Iterator[Frame]:
    """Run a block as one chart query of `scope`; its outcomes are sent when it ends, however it ends.

    Args:
        source: Superset's datasource.
        layers: ids of the annotation layers that it shows.
    """
    outer = _frame.get()
    frame = Frame(scope, source, outer, {object_tag("layer", layer) for layer in layers})
    token = _frame.set(frame)
    try:
        yield frame
    finally:
        _frame.reset(token)
        frame.release()
        frame.close()
        if outer is None and frame.told and not scope.own:
            asked.send(scope.channel, event=frame.asked())


def remember(region: str, key: str, read: Read) -> None:
    """Note that a get of `key` missed, for the set that may follow it."""
    frame = _frame.get()
    if frame is not None:
        frame.reads[(region, key)] = read
        return
    reads = _loose.get()
    if reads is None:
        reads = OrderedDict()
        _loose.set(reads)
    reads[(region, key)] = read
    if len(reads) > _PAIRS:
        reads.popitem(last=False)


def recall(region: str, key: str) -> Read | None:
    """The read that this set of `key` belongs to, once."""
    frame = _frame.get()
    if frame is not None:
        return frame.reads.pop((region, key), None)
    reads = _loose.get()
    read = reads.pop((region, key), None) if reads else None
    # Outside a frame nothing says where a request ends, and a thread serves many.
    return read if read is None or time.perf_counter() - read.started < _LOOSE_SECONDS else None


def report(key: str, event: Outcome) -> None:
    """Tell what a get or a set came to: a frame's chart reads at its end, everything else at once."""
    frame = _frame.get()
    if frame is None:
        outcome.send(event.region, event=event)
        return
    event = replace(event, scope=frame.scope)
    if event.region != Region.CHART_DATA:
        outcome.send(event.region, event=event)
    elif isinstance(event.result, Stored):
        frame.reject(key)
        frame.sets[key] = event
        # What warming waits for is nobody's response time.
        outcome.send(event.region, event=event if frame.scope.channel != WARM else replace(event, ms=0.0))
    else:
        frame.tell(key, event)
