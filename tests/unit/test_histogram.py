"""Latency buckets: the error that is promised, on any latencies."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superset_ext.monitor.log.histogram import BUCKETS, RELATIVE_ERROR, SMALLEST_MS, bucket, pairs

GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)


@given(st.floats(min_value=0.011, max_value=61 * 3600 * 1000))
def test_a_bucket_stands_for_its_latencies_within_the_error(ms: float) -> None:
    """Intent: what is read from a bucket is within 5 % of whatever was put into it."""
    value = SMALLEST_MS * (1 - RELATIVE_ERROR) * GAMMA ** bucket(ms)
    assert abs(value - ms) <= RELATIVE_ERROR * ms * (1 + 1e-9)


@pytest.mark.parametrize(("ms", "expected"), [(0.0, 0), (-1.0, 0), (0.01, 0), (1e12, BUCKETS - 1), (math.nan, 0)])
def test_extremes_have_a_bucket(ms: float, expected: int) -> None:
    """Intent: no clock can make the request's path raise or the log refuse a row."""
    assert bucket(ms) == expected


@given(st.lists(st.floats(min_value=0, max_value=1e9), min_size=2, max_size=50))
def test_buckets_keep_the_order(times: list[float]) -> None:
    """Intent: quantiles are read by counting from the lowest bucket."""
    times.sort()
    buckets = [bucket(ms) for ms in times]
    assert buckets == sorted(buckets)


def test_pairs_are_sorted_and_empty_is_none() -> None:
    """Intent: the form that the SQL functions read."""
    assert pairs(Counter({7: 2, 3: 1})) == [3, 1, 7, 2]
    assert pairs({}) is None
