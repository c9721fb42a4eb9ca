"""What is said of a query's seconds before it runs."""

from __future__ import annotations

import pytest

from superset_ext.plans.estimate import LEAST, MOST, bounds


@pytest.mark.parametrize("plans", range(LEAST, MOST + 1))
def test_the_bounds_hold_for_eight_of_ten(plans: int) -> None:
    """Intent: of queries that are alike, each as likely the next one, at least eight of ten lie within the bounds that
    the others give; and of more plans the bounds are no wider than that needs."""
    times = [float(number) for number in range(plans + 1)]
    within = 0
    for time in times:
        least, most = bounds([other for other in times if other != time])
        within += least <= time <= most
    assert 0.8 <= within / len(times) < 0.8 + 2 / len(times)
