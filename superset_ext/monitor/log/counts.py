"""The counts of one interval in memory: rows by key, and the batch that they are written in."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from superset_ext.events import Miss, Outcome, Stored
from superset_ext.monitor.log.histogram import bucket

K = TypeVar("K")


class Key(NamedTuple):
    """What a row of the log counts. Ids are Superset's."""

    cache_type: str
    dataset_id: int | None = None
    chart_id: int | None = None
    dashboard_id: int | None = None
    channel: str | None = None


class Counts:
    """The numbers of one row.

    Attributes:
        hits: reads answered from the cache. Of these, `stale` were past their time while somebody refreshed them, and
            `coalesced` waited for another caller's query.
        misses: reads that the cache did not answer, by reason.
        sets: values to be stored, by their outcome.
        bytes_read, bytes_written: stored bytes.
        response_ms: sum of the times in both histograms, in milliseconds.
        saved_ms: milliseconds that the answers of the hits had cost to compute.
        hit_times, miss_times: requests by bucket of their time.
    """

    __slots__ = (
        "bytes_read", "bytes_written", "coalesced", "hit_times", "hits", "miss_times", "misses", "response_ms",
        "saved_ms", "sets", "stale",
    )  # fmt: skip

    def __init__(self) -> None:
        self.hits = 0
        self.stale = 0
        self.coalesced = 0
        self.misses: dict[Miss, int] = {}
        self.sets: dict[Stored, int] = {}
        self.bytes_read = 0
        self.bytes_written = 0
        self.response_ms = 0.0
        self.saved_ms = 0.0
        self.hit_times: dict[int, int] = {}
        self.miss_times: dict[int, int] = {}

    def add(self, event: Outcome) -> None:
        """Count one get or set."""
        result = event.result
        if result is None:
            self.hits += 1
            self.stale += event.stale
            self.coalesced += event.coalesced
            self.bytes_read += event.size
            self.saved_ms += event.saved_ms
            self._time(self.hit_times, event.ms)
        elif isinstance(result, Miss):
            self.misses[result] = self.misses.get(result, 0) + 1
            self.bytes_read += event.size
        else:
            self._add_set(result, event)

    def _add_set(self, result: Stored, event: Outcome) -> None:
        self.sets[result] = self.sets.get(result, 0) + 1
        if result is Stored.STORED:
            self.bytes_written += event.size
        scope = event.scope
        # A read that was not counted as a miss (the fetch of an asynchronous chart) has no response time either.
        if event.ms > 0 and (scope is None or (scope.counted and scope.count_misses)):
            self._time(self.miss_times, event.ms)

    def _time(self, times: dict[int, int], ms: float) -> None:
        self.response_ms += ms
        index = bucket(ms)
        times[index] = times.get(index, 0) + 1

    def merge(self, other: Counts) -> None:
        """Add the numbers of another row."""
        self.hits += other.hits
        self.stale += other.stale
        self.coalesced += other.coalesced
        self.bytes_read += other.bytes_read
        self.bytes_written += other.bytes_written
        self.response_ms += other.response_ms
        self.saved_ms += other.saved_ms
        _add(self.misses, other.misses)
        _add(self.sets, other.sets)
        _add(self.hit_times, other.hit_times)
        _add(self.miss_times, other.miss_times)


def _add(into: dict[K, int], other: dict[K, int]) -> None:
    for key, number in other.items():
        into[key] = into.get(key, 0) + number


@dataclass(slots=True)
class Batch:
    """The rows of one interval of this process.

    Attributes:
        rows: counts by key; at most the limit and one a region.
        started, ended: `time.monotonic()` of the interval, in seconds; `ended` is set when it is taken.
        overflows: how often counts were added to their region's row, because the limit was reached.
        batch: name of the flush; it shows whether a flush whose commit was in doubt is in the log.
        in_doubt: whether a try to write it may have succeeded.
    """

    limit: int
    rows: dict[Key, Counts] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    overflows: int = 0
    batch: uuid.UUID = field(default_factory=uuid.uuid4)
    in_doubt: bool = False

    def row(self, key: Key) -> Counts:
        """The counts of a key; beyond the limit those of its region, so that totals stay exact."""
        counts = self.rows.get(key)
        if counts is not None:
            return counts
        if len(self.rows) >= self.limit:
            self.overflows += 1
            key = Key(key.cache_type)
        return self.rows.setdefault(key, Counts())

    def absorb(self, other: Batch) -> None:
        """Add the counts of an earlier interval."""
        self.started = min(self.started, other.started)
        self.overflows += other.overflows
        for key, counts in other.rows.items():
            self.row(key).merge(counts)
