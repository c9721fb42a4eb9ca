"""Two passes over the nine example dashboards, for all tests that need them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from testing.asked import answered
from testing.browser import Answer, Visit, browser
from testing.serving import Client
from testing.warming import rows

NOW = "SELECT clock_timestamp()"


@dataclass(frozen=True)
class Passes:
    """What was asked for and told, every dashboard being opened twice.

    A browser opens all of them, and every third again. What it asked for the others is sent again without it: an
    opening keeps a processor busy for ten seconds.

    Attributes:
        since: the log database's time before the first pass.
        until: its time after the second.
    """

    since: datetime
    until: datetime
    first: tuple[Answer, ...]
    second: tuple[Answer, ...]

    @property
    def both(self) -> tuple[Answer, ...]:
        return self.first + self.second


@pytest.fixture(scope="session")
def passes(superset_stack: Any) -> Passes:
    since = rows(superset_stack, NOW)[0][0]
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        visit = Visit(page, superset_stack.url)
        visit.login(superset_stack.user, superset_stack.password)
        ids = [d["id"] for d in visit.dashboards()]
        assert len(ids) == 9
        first = {i: visit.open(i) for i in ids}
        again = {i: visit.open(i) for i in ids[::3]}
    # Not within the block: while one driver is open, its event loop keeps others from running.
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    second = {i: again[i] if i in again else [answered(client, asked) for asked in first[i]] for i in ids}
    return Passes(since, rows(superset_stack, NOW)[0][0], _all(first), _all(second))


def _all(by_dashboard: dict[int, list[Answer]]) -> tuple[Answer, ...]:
    return tuple(answer for answers in by_dashboard.values() for answer in answers)
