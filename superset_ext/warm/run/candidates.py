"""The registered requests that a run may warm, each once an access scope, with how often people make it.

How likely a request is comes from its profile by hour of the week. Uses are taken as a Poisson process whose rate in
an hour is the decayed mean of that hour in the weeks seen.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.sql_folder import query_text
from superset_ext.host.people import Identity
from superset_ext.settings import Targets
from superset_ext.warm.registry.uses import hour_of_week
from superset_ext.warm.run.items import Action, Item
from superset_ext.warm.run.targets import Resolved

UNKNOWN_MS = 1000.0  # assumed cost of a request that was never computed before
_WEEK_SECONDS = 7 * 86_400


class Candidate(NamedTuple):
    """A request as one identity; a plain tuple, since there may be as many as the registry holds.

    Attributes:
        rate: uses expected in the window that was asked about.
        keys: the access scope; empty where it is not known.
        known_at: when the keys were last seen, in seconds since 1970.
    """

    fingerprint: str
    dashboard_id: int | None
    chart_id: int | None
    database_id: int | None
    cost_ms: float | None
    rate: float
    user_id: int | None
    guest: str | None
    keys: Sequence[str]
    dataset_id: int | None
    known_at: float

    def item(self, action: Action) -> Item:
        """The item of a run that asks it."""
        return Item(
            action, _identity(self.user_id, self.guest), self.fingerprint, None, self.dashboard_id, self.chart_id,
            self.database_id, self.cost_ms,
        )  # fmt: skip


@lru_cache(maxsize=1024)
def _identity(user_id: int | None, guest: str | None) -> Identity:
    """One object for many requests, with the claims in the registry's spelling."""
    return Identity(user_id, None if guest is None else json.dumps(json.loads(guest), sort_keys=True))


def candidates(database: LogDatabase, options: Targets, named: Resolved, window: float) -> list[Candidate]:
    """The requests of what is named and of the targets that go by the registry, the likeliest and dearest first.

    Args:
        window: seconds from now in which uses are expected.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    result: list[Candidate] = []
    with database.transaction(60.0) as cursor:
        cursor.execute("SET LOCAL jit = off")  # compiling takes longer than what it would save
        cursor.execute(query_text("warm_candidates"), _values(options, named, window))
        while rows := cursor.fetchmany(2000):
            result += map(Candidate._make, rows)
    return result


def _values(options: Targets, named: Resolved, window: float) -> dict[str, Any]:
    shares = _shares(time.time(), window)
    return {
        "dashboards": sorted(named.dashboards) or None, "charts": sorted(named.charts) or None,
        "datasets": sorted(named.datasets) or None, "changed": list(options.changed) or None,
        "frequent": "frequently_accessed_charts" in options.targets, "common": "common_queries" in options.targets,
        "limit": options.limit, "unknown": UNKNOWN_MS, "hours": list(shares), "shares": list(shares.values()),
    }  # fmt: skip


def _shares(now: float, window: float) -> dict[int, float]:
    """How much of which hours of the week falls into `window` seconds from now; the first hour is 1, as in arrays."""
    shares: dict[int, float] = defaultdict(float)
    at, end = now, now + min(window, _WEEK_SECONDS)
    while at < end:
        until = min((at // 3600 + 1) * 3600, end)
        shares[hour_of_week(at) + 1] += (until - at) / 3600
        at = until
    return dict(shares)
