"""Latency buckets: where a value falls, and how far a bucket's value is from it."""

from __future__ import annotations

import random

import pytest

from superset_ext.monitor.histogram import BUCKETS, RELATIVE_ERROR, SMALLEST_MS, bucket, pairs

GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)


def stands_for(index: int) -> float:
    """What `histogram_value` of the schema gives for a bucket."""
    return SMALLEST_MS if index <= 0 else SMALLEST_MS * (1 - RELATIVE_ERROR) * GAMMA**index


def test_a_bucket_stands_for_its_values_within_the_stated_error() -> None:
    """Intent: from ten microseconds to a day, no value is told more than 5 % off."""
    source = random.Random(7)
    for _ in range(20_000):
        ms = SMALLEST_MS * (86_400_000 / SMALLEST_MS) ** source.random()
        if ms > SMALLEST_MS:
            assert abs(stands_for(bucket(ms)) - ms) <= ms * RELATIVE_ERROR * (1 + 1e-9)


@pytest.mark.parametrize(
    ("ms", "index"), [(-1.0, 0), (0.0, 0), (SMALLEST_MS, 0), (SMALLEST_MS * 1.01, 1), (1e300, BUCKETS - 1)]
)
def test_the_ends_are_closed(ms: float, index: int) -> None:
    """Intent: a clock that went back, a zero and a query of days all have a bucket."""
    assert bucket(ms) == index


def test_a_longer_time_is_never_in_an_earlier_bucket() -> None:
    """Intent: quantiles walk the buckets in order."""
    found = [bucket(SMALLEST_MS * 1.003**n) for n in range(8_000)]
    assert found == sorted(found)
    assert set(found) == set(range(BUCKETS))


def test_pairs_are_sorted_and_nothing_is_null() -> None:
    """Intent: the log stores bucket, count, … by rising bucket, and no empty array."""
    assert pairs({7: 1, 2: 3}) == [2, 3, 7, 1]
    assert pairs({}) is None
