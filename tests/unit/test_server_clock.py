"""What is said of a server's clock from the times that come with its answers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from superset_ext.cache import store
from superset_ext.cache.store import ServerClock

AHEAD_US = 1_800_000_000_000_000  # of this process's clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of this process."""
    moment = [100.0]
    monkeypatch.setattr(store, "time", SimpleNamespace(perf_counter=lambda: moment[0]))
    return moment


def true_us(moment: float) -> int:
    """What the server shows at a moment."""
    return AHEAD_US + int(moment * 1e6)


def test_a_process_that_stalls_does_not_lose_what_it_knew(now: list[float]) -> None:
    """Intent: an answer that came at once says more than one that was read late; a change from before a request is
    known to it on a busy machine too."""
    clock = ServerClock()
    clock.hear(true_us(100.0 - 0.00005))
    now[0] = 101.0
    shown = true_us(101.0 - 0.4)  # the process stood still for so long
    clock.hear(shown)
    change_us, began = true_us(100.58), 100.59
    assert change_us <= clock.at(began, 100.595, shown) <= true_us(began)


def test_it_never_says_more_than_the_clock_has_shown(now: list[float]) -> None:
    """Intent: what was told after a request had begun is not taken for known."""
    clock = ServerClock()
    for late in (0.5, 0.02, 0.3, 0.00005, 0.1):
        now[0] += 1.0
        clock.hear(true_us(now[0] - late))
        assert clock.at(now[0] - 0.7, now[0] - 0.6, true_us(now[0] - late)) <= true_us(now[0] - 0.7)


def test_a_clock_that_was_put_back_is_taken_as_it_is(now: list[float]) -> None:
    """Intent: what was known of it before says nothing, or changes from after a request began would count as known."""
    clock = ServerClock()
    clock.hear(true_us(100.0))
    now[0] = 110.0
    shown = true_us(110.0) - 60_000_000
    assert clock.at(109.0, 109.9, shown) <= true_us(109.0) - 60_000_000


def test_what_was_heard_long_ago_says_less(now: list[float]) -> None:
    """Intent: clocks of two machines drift apart, by less than is allowed for."""
    clock = ServerClock()
    clock.hear(true_us(100.0))
    now[0] = 1100.0
    shown = true_us(1100.0) - 50_000  # slower by 50 millionths, and come at once
    clock.hear(shown - 30_000)  # come late
    assert clock.at(1099.0, 1099.99, shown - 30_000) <= true_us(1099.0) - 49_950


def test_of_a_server_that_was_never_heard_the_read_itself_says_it(now: list[float]) -> None:
    """Intent: the first read of a process has a bound, too."""
    del now
    assert ServerClock().at(99.0, 99.9, true_us(100.0)) == true_us(99.0)
