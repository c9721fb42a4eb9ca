"""What a run does, in which order, within which budget.

A request is worth warming as far as somebody will make it before its entry goes. How likely that is
comes from its profile by hour of the week: uses are taken as a Poisson process whose rate in an hour
is the decayed mean of that hour in the weeks seen, so that the chance of at least one use within the
entry's life is 1 - exp(-sum of rates). Warming saves the first reader the whole cost and spends the
same cost, so that chance is also the seconds saved per second spent; of equal chances the dearer
request goes first.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import Settings, Targets
from superset_ext.warm.registry.store import HOURS, HOURS_HALF_DAYS, USES_HALF_DAYS, decayed, hour_of_week
from superset_ext.warm.registry.who import Who
from superset_ext.warm.run.runs import Action, Item
from superset_ext.warm.run.targets import Page, representatives, roles_of

SecondsLeft = Callable[[Sequence[str]], list[float | None]]
UNKNOWN_MS = 1000.0  # what a request is taken to cost that was never computed before our eyes
_WEEK_DAYS = 7.0
_DECAYED = f"uses * {decayed('now() - used_at', str(USES_HALF_DAYS))}"
_SELECT = """
SELECT r.fingerprint, r.dashboard_id, r.chart_id, r.database_id, r.cost_ms,
    CASE WHEN cardinality(r.hours) = 0 THEN 0 ELSE round(({rates}) * {aged} / {weeks} * 1e4) / 1e4 END AS rate,
    s.user_id, s.guest::text, s.cache_keys, r.dataset_id, extract(epoch FROM s.used_at)::float8
FROM superset_ext.cache_request r JOIN superset_ext.cache_request_scope s USING (fingerprint)
WHERE r.replayable AND ({where})
ORDER BY rate DESC, coalesce(r.cost_ms, {unknown}) DESC, r.fingerprint
"""
# How many decayed weeks a profile has been filled for: the sum of a geometric series.
_WEEKS = (
    "((1 - power(0.5::float8, least(900, greatest(1, ceil(extract(epoch FROM now() - r.first_seen)::float8 / 604800))"
    " * {q}))) / (1 - power(0.5::float8, {q})))"
).format(q=_WEEK_DAYS / HOURS_HALF_DAYS)
# What a profile has lost since it was last added to.
_AGED = decayed("now() - r.used_at", str(HOURS_HALF_DAYS))
_COMMON = f"""
r.fingerprint IN (SELECT fingerprint FROM superset_ext.cache_request
    WHERE replayable ORDER BY {_DECAYED} * coalesce(cost_ms, {UNKNOWN_MS}) DESC LIMIT %(limit)s)
"""  # noqa: S608  (only constants)
_FREQUENT = f"""
r.chart_id IN (SELECT chart_id FROM superset_ext.cache_request WHERE replayable AND chart_id IS NOT NULL
    GROUP BY chart_id ORDER BY sum({_DECAYED}) DESC LIMIT %(limit)s)
"""  # noqa: S608  (only constants)
# Of entries that are kept for their use, those that are not used do not come back.
_CHANGED = """
(r.tags && %(changed)s::text[] AND NOT EXISTS (SELECT FROM unnest(r.tags) AS t (tag)
    WHERE t.tag LIKE 'usage:%%' AND r.uses < split_part(t.tag, ':', 2)::float8))
"""
_KNOWN = "SELECT page, version FROM superset_ext.cache_discovery WHERE page = ANY(%s)"
_SEEN = """
SELECT DISTINCT chart_id FROM superset_ext.cache_request
WHERE replayable AND chart_id IS NOT NULL AND last_seen > %(since)s
    AND (dashboard_id = %(dashboard)s OR %(dashboard)s IS NULL)
"""
_HIDDEN = "SELECT DISTINCT dashboard_id, chart_id FROM superset_ext.cache_request WHERE NOT replayable"


@dataclass(slots=True)
class Plan:
    """What a run does.

    Attributes:
        items: in order.
        fresh: requests left out, because their entries will last.
        left_out: requests left out, because the budget was full.
    """

    items: list[Item] = field(default_factory=list)
    fresh: int = 0
    left_out: int = 0


class _Candidate(NamedTuple):
    """A request as one user; a plain tuple, since there may be as many as the registry holds."""

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
        return Item(
            action, _who(self.user_id, self.guest), self.fingerprint, None, self.dashboard_id, self.chart_id,
            self.database_id, self.cost_ms,
        )  # fmt: skip


@lru_cache(maxsize=1024)
def _who(user_id: int | None, guest: str | None) -> Who:
    """Of many requests as one; the claims in the registry's way of writing them."""
    return Who(user_id, None if guest is None else json.dumps(json.loads(guest), sort_keys=True))


def undiscovered(database: LogDatabase, pages: Iterable[Page]) -> list[Page]:
    """The pages whose requests are not all known, since they changed or were never opened.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    wanted = list(pages)
    known = {row["page"]: row["version"] for row in database.rows(_KNOWN, ([page.name for page in wanted],))}
    hidden = {tuple(row.values()) for row in database.rows(_HIDDEN)}
    return [page for page in wanted if _is_hidden(page, hidden) or (known.get(page.name) != page.version
            and not _is_seen(database, page))]  # fmt: skip


def _is_hidden(page: Page, hidden: Collection[Any]) -> bool:
    """Whether it makes requests whose values are not kept."""
    kind, number = page.name.split(":")
    return any(int(number) == (dashboard if kind == "dashboard" else chart) for dashboard, chart in hidden)


def _is_seen(database: LogDatabase, page: Page) -> bool:
    """Whether somebody has opened all of it since it changed."""
    kind, number = page.name.split(":")
    # Superset writes the time of a change in the server's local time, without a zone.
    since = page.changed_at.astimezone(UTC) if page.changed_at != datetime.min else datetime.now(UTC)
    values = {"since": since, "dashboard": int(number) if kind == "dashboard" else None}
    return page.charts <= {row["chart_id"] for row in database.rows(_SEEN, values)}


def plan(
    database: LogDatabase,
    settings: Settings,
    options: Targets,
    *,
    dashboards: Collection[int] = (),
    charts: Collection[int] = (),
    datasets: Collection[int] = (),
    lasting: float = 0.0,
    seconds_left: SecondsLeft,
    changed_at: Mapping[int | None, float] = MappingProxyType({}),
) -> Plan:
    """The requests of what is named, and of the targets that go by the registry, in order.

    Args:
        lasting: seconds until the same is warmed again; an entry that lives as long is left alone.
        seconds_left: tells how long the entries of cache keys still live.
        changed_at: when each dataset was last changed, and under `None` the row-level rules, in seconds since the
            epoch: keys that were seen before lead to entries that nobody is led to any more.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
        StoreUnavailable: Redis does not say what is cached.
    """
    life = float(settings.chart_data.timeout) or 86_400.0
    window = min(lasting or life, life)
    found = _candidates(database, _where(options, dashboards, charts, datasets), _values(options, dashboards, charts,
                        datasets), window)  # fmt: skip
    if others := _by_role(found, dashboards):
        # The chance of one use or more grows with the rate, so that the order is the same.
        found = sorted(found + others, key=lambda each: (-each.rate, -(each.cost_ms or UNKNOWN_MS)))
    return _within(
        options.budget_seconds, _without_lasting(_now_unknown(found, changed_at), min(lasting, life / 2), seconds_left)
    )


def _where(options: Targets, dashboards: Collection[int], charts: Collection[int], datasets: Collection[int]) -> str:
    parts = [
        part
        for part, wanted in (
            ("r.dashboard_id = ANY(%(dashboards)s)", dashboards),
            ("r.chart_id = ANY(%(charts)s)", charts),
            ("r.dataset_id = ANY(%(datasets)s)", datasets),
            (_CHANGED, options.changed),
            (_FREQUENT, "frequently_accessed_charts" in options.targets),
            (_COMMON, "common_queries" in options.targets),
        )
        if wanted
    ]
    return " OR ".join(parts) or "false"


def _values(
    options: Targets, dashboards: Collection[int], charts: Collection[int], datasets: Collection[int]
) -> dict[str, Any]:
    lists = {"dashboards": dashboards, "charts": charts, "datasets": datasets}
    named = {name: sorted(ids) for name, ids in lists.items()}
    return named | {"changed": list(options.changed), "limit": options.limit}


def _candidates(database: LogDatabase, where: str, values: dict[str, Any], window: float) -> list[_Candidate]:
    sql = _SELECT.format(where=where, rates=_rates(time.time(), window), weeks=_WEEKS, aged=_AGED, unknown=UNKNOWN_MS)
    found: list[_Candidate] = []
    with database.transaction(60.0) as cursor:
        cursor.execute("SET LOCAL jit = off")  # compiling takes longer than what it would save
        cursor.execute(sql, values)
        while rows := cursor.fetchmany(2000):
            found += map(_Candidate._make, rows)
    return found


def _rates(now: float, window: float) -> str:
    """SQL for the uses expected from now on for `window` seconds, in one week; arrays begin at 1."""
    weights: dict[int, float] = defaultdict(float)
    at, end = now, now + min(window, _WEEK_DAYS * 86_400)
    while at < end:
        until = min((at // 3600 + 1) * 3600, end)
        weights[hour_of_week(at)] += (until - at) / 3600
        at = until
    if len(weights) == HOURS:
        return "SELECT sum(h) FROM unnest(r.hours) AS h"
    return " + ".join(f"r.hours[{hour + 1}] * {share:.6f}" for hour, share in sorted(weights.items()))


def _by_role(found: Sequence[_Candidate], dashboards: Collection[int]) -> list[_Candidate]:
    """The same requests as users of other roles who open these dashboards, and have not made them yet."""
    if not dashboards:
        return []
    viewers = representatives(dashboards)
    known = roles_of({each.user_id for each in found if each.user_id is not None})
    roles: dict[str, set[frozenset[int]]] = defaultdict(set)
    first: dict[str, _Candidate] = {}
    for each in found:
        first.setdefault(each.fingerprint, each)
        if each.user_id in known:
            roles[each.fingerprint].add(known[each.user_id])
    return [
        each._replace(user_id=user, guest=None, keys=())
        for name, each in first.items()
        for role_set, user in viewers.get(each.dashboard_id or 0, ())
        if role_set not in roles[name]
    ]


def _now_unknown(found: list[_Candidate], changed_at: Mapping[int | None, float]) -> list[_Candidate]:
    """Without the keys of what has changed since they were seen."""
    if not changed_at:
        return found
    rules = changed_at.get(None, 0.0)
    return [
        each if each.known_at > max(rules, changed_at.get(each.dataset_id or 0, 0.0)) else each._replace(keys=())
        for each in found
    ]


def _without_lasting(found: Sequence[_Candidate], lasting: float, seconds_left: SecondsLeft) -> Plan:
    """Without what lives long enough; what is there but goes too soon is asked anew."""
    keys = list({key for each in found for key in each.keys})
    left = dict(zip(keys, seconds_left(keys), strict=True)) if keys else {}
    made = Plan()
    for each in found:
        lives = [left[key] for key in each.keys]
        if not lives or None in lives:
            made.items.append(each.item("replay"))
        elif min(life for life in lives if life is not None) <= lasting:
            made.items.append(each.item("refresh"))
        else:
            made.fresh += 1
    return made


def _within(budget_seconds: float | None, made: Plan) -> Plan:
    """What fits into the budget; a dear item that does not fit makes no room for nothing."""
    if budget_seconds is None:
        return made
    left, kept = budget_seconds * 1000, []
    for item in made.items:
        cost = item.cost_ms or UNKNOWN_MS
        if cost <= left:
            kept.append(item)
            left -= cost
    return Plan(kept, made.fresh, len(made.items) - len(kept))
