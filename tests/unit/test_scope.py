"""Frames: gets and sets are paired by key, and told once, when it is known what they came to."""

from __future__ import annotations

import time

from superset_ext.cache.query import Read, recall, remember, report, running
from superset_ext.cache.sent import Sent
from superset_ext.cache.store import ServerClock
from superset_ext.events import Miss, Outcome, Scope, Stored
from superset_ext.host import source_queries
from testing.regions import heard

CHART = "chart_data"


def test_nested_charts_pair_their_own_sets() -> None:
    """Intent: an annotation's chart (get A, get B, set B, set A) never takes its parent's start time."""
    with running(Scope(chart_id=1)):
        remember(CHART, "A", Read(10, 1.0), ServerClock())
        with running(Scope(chart_id=2)):
            remember(CHART, "B", Read(20, 2.0), ServerClock())
            assert recall(CHART, "A") is None
            assert recall(CHART, "B") == Read(20, 2.0)
        assert recall(CHART, "A") == Read(10, 1.0)


def test_found_but_not_used_is_a_rejected_miss() -> None:
    """Intent: a hit that is followed by a set of the same key was no hit."""
    with heard() as events, running(Scope(chart_id=1)):
        report("A", Outcome(CHART, None, 1.0, saved_ms=5.0))
        report("A", Outcome(CHART, Stored.STORED, 9.0))
    assert [(e.result, e.saved_ms) for e in events] == [(Stored.STORED, 0.0), (Miss.REJECTED, 0.0)]


def test_hits_carry_the_scope_of_their_frame() -> None:
    """Intent: the log can say which dashboard and chart a hit was for."""
    with heard() as events, running(Scope(chart_id=7, dashboard_id=3)):
        report("A", Outcome(CHART, None, 1.0))
        assert events == []
    assert [(e.scope.chart_id, e.scope.dashboard_id) for e in events if e.scope] == [(7, 3)]


def test_a_probe_counts_only_when_it_finds() -> None:
    """Intent: an asynchronous chart's first look is a hit or nothing; its miss is the worker's to count."""
    with heard() as events:
        with running(Scope(count_misses=False)):
            report("A", Outcome(CHART, Miss.COLD, 1.0))
        with running(Scope(count_misses=False)):
            report("A", Outcome(CHART, None, 1.0))
        with running(Scope(counted=False)):
            report("A", Outcome(CHART, None, 1.0))
    assert [e.result for e in events] == [None]


def test_a_frame_that_fails_still_tells() -> None:
    """Intent: a query that raises was a miss all the same."""
    with heard() as events:
        try:
            with running(Scope()):
                report("A", Outcome(CHART, Miss.COLD, 1.0))
                raise ValueError("the database is away")
        except ValueError:
            pass
    assert [e.result for e in events] == [Miss.COLD]


def test_other_regions_are_told_at_once_and_every_time() -> None:
    """Intent: two reads of one metadata key within a chart are two reads."""
    with heard() as events, running(Scope(chart_id=1)):
        report("m", Outcome("metadata", None, 1.0))
        report("m", Outcome("metadata", None, 1.0))
        assert len(events) == 2


def test_reads_outside_a_frame_are_bounded() -> None:
    """Intent: a thread that lives for weeks does not collect reads that no set ever follows."""
    now = time.perf_counter()
    for number in range(1000):
        remember("metadata", str(number), Read(number, now), ServerClock())
    assert recall("metadata", "0") is None
    assert recall("metadata", "999") == Read(999, now)
    assert recall("metadata", "999") is None


def test_a_read_of_an_earlier_request_is_not_taken_for_this_ones() -> None:
    """Intent: a get that missed an hour ago, in a thread that still lives, does not say what a set cost."""
    remember("metadata", "old", Read(1, time.perf_counter() - 3600), ServerClock())
    assert recall("metadata", "old") is None


def test_an_engine_spec_that_fails_costs_nobody_their_rows() -> None:
    """Intent: whether all SQL was noted is asked once the rows are here; where it cannot be told, it was not."""
    assert not source_queries._is_whole(Sent(object(), None, None), "SELECT 1")
