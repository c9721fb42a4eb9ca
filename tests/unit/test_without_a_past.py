"""What a process keeps for its life, which no test may find as another one left it."""

from __future__ import annotations

import pytest

from superset_ext.cache.redis.circuit import circuit
from superset_ext.core.warn_once import warn


@pytest.mark.parametrize("turn", ["one test", "the next one"])
def test_what_an_earlier_test_warned_of_is_warned_of_again(turn: str, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: a warning that is logged once a minute is logged in each test that causes it, in any order."""
    warn("without_a_past", "it rains")
    warn("without_a_past", "it rains")
    assert [record.getMessage() for record in caplog.records] == ["superset_ext: it rains"], turn


@pytest.mark.parametrize("seconds", [1.0, 2.0])
def test_a_port_that_had_another_server_is_a_new_server(seconds: float) -> None:
    """Intent: whether a server is away, and how often it is asked, is not known from one that had the same port."""
    made = circuit("127.0.0.1:1", 5, seconds)
    assert made._reset_seconds == seconds and made.failed_calls == 0
    made.failed_calls = 7
