"""What one outcome adds to which number."""

from __future__ import annotations

import pytest

from superset_ext.events import Miss, Outcome, Scope, Stored
from superset_ext.monitor.log.counts import Batch, Counts, Key
from superset_ext.monitor.log.histogram import bucket


def counts(*events: Outcome) -> Counts:
    sums = Counts()
    for event in events:
        sums.add(event)
    return sums


def test_a_hit_has_its_time_its_bytes_and_what_it_saved() -> None:
    """Intent: `response_time` of a hit is the time that the cache took."""
    sums = counts(Outcome("chart_data", None, 2.0, size=100, saved_ms=900.0))
    assert (sums.hits, sums.bytes_read, sums.saved_ms, sums.response_ms) == (1, 100, 900.0, 2.0)
    assert sums.hit_times == {bucket(2.0): 1} and sums.miss_times == {}


def test_a_miss_has_the_time_until_its_value_was_set() -> None:
    """Intent: what the cache took to say no is not the response time; without a set there is none."""
    sums = counts(Outcome("chart_data", Miss.COLD, 1.0), Outcome("chart_data", Stored.STORED, 400.0, size=50))
    assert (sums.misses, sums.response_ms, sums.bytes_written) == ({Miss.COLD: 1}, 400.0, 50)
    assert sums.miss_times == {bucket(400.0): 1} and sums.hit_times == {}
    assert counts(Outcome("chart_data", Miss.COLD, 1.0)).response_ms == 0


def test_a_set_without_a_get_has_no_time() -> None:
    """Intent: 0 says that no get came before; it is not a fast response."""
    sums = counts(Outcome("filter_state", Stored.STORED, 0, size=5))
    assert sums.sets == {Stored.STORED: 1} and sums.miss_times == {}


@pytest.mark.parametrize("result", [Stored.TOO_LARGE, Stored.REFUSED, Stored.MEMORY, Stored.ERROR])
def test_a_value_that_was_not_stored_took_its_time_all_the_same(result: Stored) -> None:
    """Intent: the user waited for it; but no bytes were written."""
    sums = counts(Outcome("chart_data", result, 30.0, size=10**9))
    assert (sums.sets, sums.bytes_written, sums.response_ms) == ({result: 1}, 0, 30.0)


def test_an_uncounted_fetch_adds_no_response_time() -> None:
    """Intent: the fetch of an asynchronous chart counts nowhere as a request, so neither does its time."""
    scope = Scope(chart_id=1, counted=False)
    assert counts(Outcome("chart_data", Stored.STORED, 30.0, scope=scope)).response_ms == 0


def test_beyond_the_limit_ids_are_lost_and_totals_are_not() -> None:
    """Intent: memory is bounded, and every number still comes from a count."""
    batch = Batch(limit=3)
    for chart in range(10):
        batch.row(Key("chart_data", chart_id=chart)).add(Outcome("chart_data", None, 1.0))
    assert len(batch.rows) == 4
    assert batch.overflows == 7
    assert sum(row.hits for row in batch.rows.values()) == 10
    assert batch.rows[Key("chart_data")].hits == 7


def test_an_unwritten_batch_joins_the_next_within_the_limit() -> None:
    """Intent: an outage of any length costs no more memory than the limit, and no count."""
    older, newer = Batch(limit=5), Batch(limit=5)
    for chart in range(5):
        older.row(Key("chart_data", chart_id=chart)).add(Outcome("chart_data", None, 1.0, saved_ms=2.0))
        newer.row(Key("chart_data", chart_id=chart + 3)).add(Outcome("chart_data", Miss.COLD, 1.0))
    newer.absorb(older)
    rows = newer.rows.values()
    assert len(rows) == 6
    assert sum(row.hits for row in rows) == 5 and sum(row.misses.get(Miss.COLD, 0) for row in rows) == 5
    assert sum(row.saved_ms for row in rows) == 10.0
    assert newer.started == older.started
