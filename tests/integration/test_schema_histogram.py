"""The histogram functions of the schema, against exact quantiles."""

from __future__ import annotations

import random
from collections import Counter
from math import ceil

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable
from superset_ext.monitor.log.histogram import BUCKETS, RELATIVE_ERROR, SMALLEST_MS, bucket, pairs

QUANTILES = [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]


def histogram(values: list[float]) -> list[int] | None:
    return pairs(Counter(bucket(ms) for ms in values))


def exact(values: list[float], q: float) -> float:
    """The least value that a share of `q` is at most, as `percentile_disc` has it."""
    return sorted(values)[max(ceil(q * len(values) - 1e-9) - 1, 0)]


@pytest.mark.parametrize("shape", ["lognormal", "exponential", "two humps", "one value", "tiny"])
def test_quantiles_are_within_the_stated_error(database: LogDatabase, shape: str) -> None:
    """Intent: what a dashboard says about latency is at most 5 % from the truth, whatever the shape."""
    source = random.Random(shape)
    draw = {
        "lognormal": lambda: source.lognormvariate(2, 2),
        "exponential": lambda: source.expovariate(1 / 40),
        "two humps": lambda: source.choice([source.gauss(2, 0.1), source.gauss(9_000, 50)]),
        "one value": lambda: 38.0,
        "tiny": lambda: source.random() * 0.03,
    }[shape]
    values = [draw() for _ in range(5_000)]
    rows = database.rows(
        "SELECT q, histogram_quantile(%s::bigint[], q) AS ms FROM unnest(%s::float8[]) AS q",
        (histogram(values), QUANTILES),
    )
    for row in rows:
        truth = exact(values, row["q"])
        assert row["ms"] == pytest.approx(truth, rel=RELATIVE_ERROR + 1e-9, abs=SMALLEST_MS)
    assert len(rows) == len(QUANTILES)


def test_merged_histograms_are_the_histogram_of_all(database: LogDatabase) -> None:
    """Intent: rows of processes, hosts and hours add up without loss; a row without times counts as empty."""
    source = random.Random(3)
    parts = [[source.lognormvariate(1, 3) for _ in range(200)] for _ in range(20)]
    with database.transaction() as cursor:
        cursor.execute("CREATE TEMP TABLE part (h bigint[]) ON COMMIT DROP")
        cursor.execute("INSERT INTO part VALUES (NULL)")
        for part in parts:
            cursor.execute("INSERT INTO part VALUES (%s)", (histogram(part),))
        cursor.execute("SELECT superset_ext.histogram_merge(h) FROM part")
        merged = cursor.fetchone()[0]
        cursor.execute(
            "SELECT superset_ext.histogram_merge(h), histogram_quantile(NULL, 0.5) FROM part WHERE h IS NULL"
        )
        nothing = cursor.fetchone()
    assert merged == histogram([ms for part in parts for ms in part])
    assert nothing == (None, None)


def test_partial_sums_of_parallel_workers_combine(database: LogDatabase) -> None:
    """Intent: a parallel plan gives what a serial one gives, the outermost buckets included."""
    rows = database.rows(
        "SELECT histogram_pairs(histogram_combine(histogram_add(NULL, %(a)s::bigint[]),"
        " histogram_add(NULL, %(b)s::bigint[]))) AS both, histogram_combine(NULL, NULL) AS none",
        {"a": [0, 2, 5, 1], "b": [5, 4, BUCKETS - 1, 3]},
    )
    assert rows == [{"both": [0, 2, 5, 5, BUCKETS - 1, 3], "none": None}]


def test_a_number_that_is_no_quantile_is_an_error(database: LogDatabase) -> None:
    """Intent: 95 instead of 0.95 is told, not answered with the maximum."""
    with pytest.raises(LogUnavailable, match="95 is no quantile; give one from 0 to 1"):
        database.rows("SELECT histogram_quantile(ARRAY[1, 1]::bigint[], 95)")


def test_few_values_do_not_look_quicker_than_they_were(database: LogDatabase) -> None:
    """Intent: with a slow value among few, 95 % of them are not said to have taken at most what the quick one took."""
    for number in range(2, 21):
        hist = pairs(Counter([bucket(30.0)] * (number - 1) + [bucket(170.0)]))
        (row,) = database.rows("SELECT superset_ext.histogram_quantile(%s, 0.95) AS p95", (hist,))
        assert (row["p95"] > 150) is (number < 20), number
