"""Latencies in log-spaced buckets, which add up over processes, hosts and time.

The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile
sketch with relative-error guarantees", VLDB 2019); `sql/schema/02_histogram.sql` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log

RELATIVE_ERROR = 0.05
SMALLEST_MS = 0.01
BUCKETS = 240
_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_SCALE = 1 / log(_GAMMA)
_SHIFT = -log(SMALLEST_MS) * _SCALE
_LAST = BUCKETS - 1


def bucket(ms: float) -> int:
    """The bucket of a latency in milliseconds, from 0 to 239."""
    if not ms > SMALLEST_MS:  # true of NaN too
        return 0
    index = ceil(log(ms) * _SCALE + _SHIFT)
    return index if index < _LAST else _LAST


def pairs(counts: Mapping[int, int]) -> list[int] | None:
    """Counts by bucket as the log stores them: bucket, count, bucket, count …; `None` if there are none."""
    return [part for item in sorted(counts.items()) for part in item] or None
