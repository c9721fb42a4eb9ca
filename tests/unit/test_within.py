"""Nobody waits for another server longer than they said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from threading import Event

import pytest

from superset_ext.core.within import AT_A_TIME, Within

LONG = 120.0
place: ContextVar[str] = ContextVar("place", default="nowhere")


def test_an_answer_and_an_error() -> None:
    """Intent: a call in time is a plain call, in the context of whoever made it."""
    within = Within()
    token = place.set("here")
    assert within(LONG, lambda number: (number, place.get()), 7) == (7, "here")
    place.reset(token)
    with pytest.raises(KeyError, match="gone"):
        within(LONG, {}.__getitem__, "gone")


def test_what_does_not_return() -> None:
    """Intent: the caller goes on; later calls are answered while the first one still hangs."""
    within, end = Within(), Event()
    with pytest.raises(TimeoutError):
        within(0.01, end.wait)
    assert within(LONG, lambda: "answer") == "answer"
    end.set()


def test_calls_that_hang_do_not_pile_up() -> None:
    """Intent: a server that hangs for long holds a few threads of the process, not one more with each change."""
    within, end, began = Within(), Event(), []

    def hang() -> None:
        began.append(1)
        end.wait()

    def hanging(_number: int) -> None:
        with pytest.raises(TimeoutError):
            within(0.01, hang)

    for number in range(AT_A_TIME + 3):
        hanging(number)
    assert len(began) <= AT_A_TIME
    end.set()
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        assert list(threads.map(lambda number: within(LONG, int, number), range(50))) == list(range(50))


def test_a_child_process_has_room() -> None:
    """Intent: what hung in the parent does not exist in a child."""
    within, end = Within(), Event()
    for _ in range(AT_A_TIME):
        with pytest.raises(TimeoutError):
            within(0.01, end.wait)
    within.reset()
    assert within(LONG, lambda: "answer") == "answer"
    end.set()
