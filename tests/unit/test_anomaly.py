"""The detector and the decision when an alert begins and ends, over series that are made up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superset_ext.monitor.alerts.anomaly import DAY, DAYS, Detector, Kind
from superset_ext.monitor.alerts.rules import AlertRule
from superset_ext.monitor.alerts.state import Reading, begins, lasts
from testing.anomalies import Fault, judge

LENGTH = 8 * DAY
SURE = 0.96  # as the built-in rule has it
USUAL = {"ratio": 0.85, "errors": 0.005, "mean": 100.0, "count": 60.0, "level": 10.0}
BAD = {"ratio": 0.4, "errors": 0.2, "mean": 600.0, "count": 5.0, "level": 30.0}
GOOD = {"ratio": 1.0, "errors": 0.0, "mean": 20.0}
KINDS: list[Kind] = ["ratio", "errors", "mean", "count", "level"]


def series(kind: Kind, seed: int = 0, length: int = LENGTH) -> np.ndarray:
    """Figures that scatter by about a tenth."""
    random = np.random.default_rng(seed)
    values = USUAL[kind] * np.exp(random.normal(0, 0.1, length))
    return np.minimum(values, 1.0) if kind in ("ratio", "errors") else values


def confidence(kind: Kind, values: np.ndarray, events: float = 200.0) -> float:
    seen = Detector(kind, values, np.full(len(values), events)).verdicts(len(values) - 1)[0]
    return -1.0 if seen is None else seen.confidence


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_found_within_a_quarter_of_an_hour(kind: Kind) -> None:
    """Intent: three bad figures in a row are unusual, with what they are and what would have been."""
    values = series(kind)
    assert confidence(kind, values) < SURE
    values[-3:] = BAD[kind]
    [seen] = Detector(kind, values, np.full(LENGTH, 200.0)).verdicts(LENGTH - 1)
    assert seen is not None
    assert seen.confidence >= SURE
    assert seen.usual == pytest.approx(USUAL[kind], rel=0.25)
    assert abs(seen.value - BAD[kind]) < abs(seen.value - USUAL[kind])


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_better_than_usual_wakes_nobody(kind: Kind) -> None:
    """Intent: faster, fewer errors, more hits: no alert, however unusual."""
    values = series(kind)
    values[-6:] = GOOD[kind]
    assert confidence(kind, values) == 0.0


def test_both_too_many_and_too_few_requests_are_unusual() -> None:
    """Intent: a flood and a silence are both worth knowing, a silence even though nobody is there to be counted."""
    for figure in (600.0, 0.0):
        values = series("count")
        values[-4:] = figure
        events = values.copy()
        [seen] = Detector("count", values, events).verdicts(LENGTH - 1)
        assert seen is not None
        assert seen.confidence >= SURE
        assert seen.events >= 20


def test_the_day_is_no_fault() -> None:
    """Intent: requests that come and go with office hours, less at weekends, raise nothing in the third week."""
    bins = np.arange(21 * DAY)
    hour, weekend = bins % DAY / (DAY / 24), bins // DAY % 7 >= 5
    rate = (5 + 100 * np.exp(-0.5 * ((hour - 12) / 2.5) ** 2)) * np.where(weekend, 0.2, 1.0)
    values = np.random.default_rng(3).poisson(rate).astype(float)
    verdicts = Detector("count", values, values).verdicts(14 * DAY)
    assert max(seen.confidence for seen in verdicts if seen) < SURE


def test_a_change_that_stays_is_usual_by_the_evening() -> None:
    """Intent: an alert of a new level ends by itself."""
    values = series("mean")
    values[-DAY // 3 :] = series("mean")[-DAY // 3 :] * 4
    verdicts = Detector("mean", values, np.full(LENGTH, 200.0)).verdicts(LENGTH - DAY // 3)
    seen = [verdict.confidence if verdict else -1.0 for verdict in verdicts]
    assert min(seen[3:12]) >= SURE
    four_hours = 4 * DAY // 24
    assert max(seen[four_hours : four_hours + 30]) < 0.8  # at which the built-in rule's alert ends
    assert max(seen[four_hours:]) < SURE


@pytest.mark.parametrize("events", [0.0, 1.0])
def test_few_requests_say_nothing(events: float) -> None:
    """Intent: one slow request at night is no anomaly."""
    values = series("mean")
    values[-3:] = 9000.0
    assert confidence("mean", values, events) == -1.0


def test_nothing_is_said_before_a_day_is_known() -> None:
    """Intent: a new installation raises nothing that it cannot know."""
    values = series("mean", length=DAY)
    values[-3:] = 9000.0
    assert confidence("mean", values) == -1.0
    assert Detector("mean", [], []).verdicts(0) == []


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.floats(0, 0.9),
    st.lists(st.sampled_from([0.0, 1.0, 1e-9, 1e9]), max_size=8),
)  # fmt: skip
def test_whatever_comes_a_confidence_is_one(kind: Kind, seed: int, gaps: float, odd: list[float]) -> None:
    """Intent: gaps, zeros, constants and absurd figures give a verdict from 0 to 1 or none; later figures change no
    earlier verdict."""
    random = np.random.default_rng(seed)
    values = series(kind, seed, 3 * DAY)
    values[random.random(len(values)) < gaps] = np.nan
    if odd:
        values[-len(odd) :] = np.clip(odd, 0, 1) if kind in ("ratio", "errors") else odd
    events = np.where(np.isnan(values), 0, random.integers(1, 300, len(values)))
    verdicts = Detector(kind, values, events).verdicts(2 * DAY)
    assert all(seen is None or 0 <= seen.confidence <= 1 for seen in verdicts)
    if kind != "level":  # of which the range of all figures is the least scatter
        earlier = Detector(kind, values[:-20], events[:-20]).verdicts(2 * DAY)
        assert earlier == verdicts[:-20]


def test_one_figure_is_judged_as_among_all() -> None:
    """Intent: `alerts` looks at the last figure alone, the bench at all of them: both see the same."""
    values, events = series("ratio", 5), np.full(LENGTH, 50.0)
    values[-5:] = 0.5
    detector = Detector("ratio", values, events)
    assert detector.verdicts(LENGTH - 1)[0] == detector.verdicts(0)[-1]


def test_two_weeks_are_enough() -> None:
    """Intent: what `performance_series` keeps is all that a verdict reads."""
    values, events = series("mean", 2, 20 * DAY), np.full(20 * DAY, 90.0)
    values[-2:] = 400.0
    whole = Detector("mean", values, events).verdicts(20 * DAY - 1)[0]
    kept = DAYS * DAY + 1
    part = Detector("mean", values[-kept:], events[-kept:]).verdicts(kept - 1)[0]
    assert whole is not None and part is not None
    assert part.confidence == pytest.approx(whole.confidence, abs=0.01)


RULES = st.builds(
    lambda upward, threshold, gap, least: AlertRule(
        name="r", metric_type="hit_ratio", comparison_operator=">" if upward else "<", threshold_value=threshold,
        clear_value=threshold - gap if upward else threshold + gap, min_occurrences=least,
    ),
    st.booleans(), st.floats(-5, 5), st.floats(0, 3), st.integers(1, 50),
)  # fmt: skip


@given(RULES, st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 100)), max_size=60))
def test_an_alert_begins_past_the_threshold_and_ends_past_the_other_value(
    rule: AlertRule, seen: list[tuple[float, int]]
) -> None:
    """Intent: whatever a metric does, an alert begins only past the threshold with enough occurrences, and between two
    begins the metric was back past `clear_value`; it never both begins and would end at once."""
    sign = 1 if rule.comparison_operator == ">" else -1
    is_open = False
    for value, occurrences in seen:
        reading = Reading("s", value, occurrences, "s")
        past, back = sign * value > sign * rule.threshold_value, sign * value <= sign * float(rule.clear_value or 0)
        if is_open:
            is_open = lasts(rule, reading)
            assert is_open is not back
        elif begins(rule, reading):
            assert past
            assert occurrences >= rule.min_occurrences
            assert lasts(rule, reading)
            is_open = True


def test_the_bench_counts_what_it_says() -> None:
    """Intent: an alarm within a fault or just after it is its find, once; all others are false."""
    faults = [Fault(100, 110, "a"), Fault(300, 330, "b")]
    hits, false = judge([50, 104, 109, 116, 117, 299, 330], faults)
    assert hits == [(faults[0], 104), (faults[1], 330)]
    assert false == [50, 117, 299]
