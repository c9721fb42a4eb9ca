"""The nine example dashboards, answered from aggregates by a Superset in a process of its own."""

from __future__ import annotations

import pytest

from testing.routed_boards import compared, requests_of, summed
from testing.same_json import DIFFERENT
from testing.stack import RunningStack
from tests.browser.conftest import Passes

pytestmark = [pytest.mark.browser, pytest.mark.thorough, pytest.mark.timeout(1800)]
LEAST = 61  # grouped statements of the 74


def test_answers_from_aggregates_are_stocks(superset_stack: RunningStack, passes: Passes) -> None:
    """Intent: each request of the nine dashboards is answered from aggregates as without them, as JSON and in order;
    rows that tie may come in another one, and last digits of floating point sums may differ. Most grouped statements
    are answered from one, and each other has its reason."""
    answers = compared(superset_stack, requests_of(passes.first, {}))
    assert [one for one in answers if one.same == DIFFERENT] == []
    totals = summed(answers)
    assert totals["routed"] >= LEAST, totals
    assert all(totals["refused"]), totals
