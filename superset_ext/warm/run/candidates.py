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
from superset_ext.host.people import Identity
from superset_ext.settings import Targets
from superset_ext.warm.registry.decay import HOURS_HALF_DAYS, USES_HALF_DAYS, decayed
from superset_ext.warm.registry.uses import HOURS, hour_of_week
from superset_ext.warm.run.items import Action, Item
from superset_ext.warm.run.targets import Resolved

UNKNOWN_MS = 1000.0  # assumed cost of a request that was never computed before
_WEEK_DAYS = 7.0
_DECAYED = f"uses * {decayed('now() - used_at', USES_HALF_DAYS)}"
_SELECT = """
SELECT r.fingerprint, r.dashboard_id, r.chart_id, r.database_id, r.cost_ms,
    CASE WHEN cardinality(r.hours) = 0 THEN 0 ELSE round(({rates}) * {aged} / {weeks} * 1e4) / 1e4 END AS rate,
    s.user_id, s.guest::text, s.cache_keys, r.dataset_id, extract(epoch FROM s.used_at)::float8
FROM superset_ext.cache_request r JOIN superset_ext.cache_access_scope s USING (fingerprint)
WHERE r.replayable AND ({where})
ORDER BY rate DESC, coalesce(r.cost_ms, {unknown}) DESC, r.fingerprint
"""
# How many decayed weeks a profile has been filled for: the sum of a geometric series.
_WEEKS = (
    "((1 - power(0.5::float8, least(900, greatest(1, ceil(extract(epoch FROM now() - r.first_seen)::float8 / 604800))"
    " * {q}))) / (1 - power(0.5::float8, {q})))"
).format(q=_WEEK_DAYS / HOURS_HALF_DAYS)
# What a profile has lost since it was last added to.
_AGED = decayed("now() - r.used_at", HOURS_HALF_DAYS)
_COMMON = f"""
r.fingerprint IN (SELECT fingerprint FROM superset_ext.cache_request
    WHERE replayable ORDER BY {_DECAYED} * coalesce(cost_ms, {UNKNOWN_MS}) DESC LIMIT %(limit)s)
"""  # noqa: S608  (only constants)
_FREQUENT = f"""
r.chart_id IN (SELECT chart_id FROM superset_ext.cache_request WHERE replayable AND chart_id IS NOT NULL
    GROUP BY chart_id ORDER BY sum({_DECAYED}) DESC LIMIT %(limit)s)
"""  # noqa: S608  (only constants)
# Of entries that are kept for their use, the unused ones do not come back.
_CHANGED = """
(r.tags && %(changed)s::text[] AND NOT EXISTS (SELECT FROM unnest(r.tags) AS t (tag)
    WHERE t.tag LIKE 'usage:%%' AND r.uses < split_part(t.tag, ':', 2)::float8))
"""


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
    sql = _SELECT.format(
        where=_where(options, named), rates=_rates(time.time(), window), weeks=_WEEKS, aged=_AGED, unknown=UNKNOWN_MS
    )
    result: list[Candidate] = []
    with database.transaction(60.0) as cursor:
        cursor.execute("SET LOCAL jit = off")  # compiling takes longer than what it would save
        cursor.execute(sql, _values(options, named))
        while rows := cursor.fetchmany(2000):
            result += map(Candidate._make, rows)
    return result


def _where(options: Targets, named: Resolved) -> str:
    parts = [
        part
        for part, wanted in (
            ("r.dashboard_id = ANY(%(dashboards)s)", named.dashboards),
            ("r.chart_id = ANY(%(charts)s)", named.charts),
            ("r.dataset_id = ANY(%(datasets)s)", named.datasets),
            (_CHANGED, options.changed),
            (_FREQUENT, "frequently_accessed_charts" in options.targets),
            (_COMMON, "common_queries" in options.targets),
        )
        if wanted
    ]
    return " OR ".join(parts) or "false"


def _values(options: Targets, named: Resolved) -> dict[str, Any]:
    return {
        "dashboards": sorted(named.dashboards), "charts": sorted(named.charts), "datasets": sorted(named.datasets),
        "changed": list(options.changed), "limit": options.limit,
    }  # fmt: skip


def _rates(now: float, window: float) -> str:
    """SQL for the uses in one week's profile that fall into `window` seconds from now; arrays begin at 1."""
    weights: dict[int, float] = defaultdict(float)
    at, end = now, now + min(window, _WEEK_DAYS * 86_400)
    while at < end:
        until = min((at // 3600 + 1) * 3600, end)
        weights[hour_of_week(at)] += (until - at) / 3600
        at = until
    if len(weights) == HOURS:
        return "SELECT sum(h) FROM unnest(r.hours) AS h"
    return " + ".join(f"r.hours[{hour + 1}] * {share:.6f}" for hour, share in sorted(weights.items()))
