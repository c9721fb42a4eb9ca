"""Two passes of a browser over the nine example dashboards, for all tests that need them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from testing.browser import Answer, Visit, browser
from testing.warming import rows

NOW = "SELECT clock_timestamp()"


@dataclass(frozen=True)
class Passes:
    """What a browser asked for and was told, opening every dashboard twice.

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
        first, second = ([a for i in ids for a in visit.open(i)] for _ in range(2))
    # Not within the block: while one driver is open, its event loop keeps others from running.
    return Passes(since, rows(superset_stack, NOW)[0][0], tuple(first), tuple(second))
