"""The items of a run, in order, within its budget.

A request is worth warming as far as somebody will make it before its entry goes: the chance of at least one use within
the entry's life is 1 - exp(-sum of rates). Warming saves the first reader the whole cost and spends the same cost, so
that chance is also the seconds saved per second spent. Of equal chances the dearer request goes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from superset_ext.core.log_database import LogDatabase
from superset_ext.host.people import roles_of
from superset_ext.settings import Settings, Targets
from superset_ext.warm.run.candidates import UNKNOWN_MS, Candidate, candidates
from superset_ext.warm.run.items import Item
from superset_ext.warm.run.targets import Resolved, representatives

SecondsLeft = Callable[[Sequence[str]], list[float | None]]
ChangedAt = Mapping[int | None, float]


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


def plan(
    database: LogDatabase,
    settings: Settings,
    options: Targets,
    named: Resolved,
    *,
    lasting: float = 0.0,
    seconds_left: SecondsLeft,
    changed_at: ChangedAt = MappingProxyType({}),
) -> Plan:
    """The requests of what is named, and of the targets that go by the registry.

    Args:
        named: what the targets come to.
        lasting: seconds until the same is warmed again; an entry that lives as long is left alone.
        seconds_left: the seconds that the entries of cache keys still live, `None` where there is none.
        changed_at: when each dataset was last changed, and under `None` the row-level rules, in seconds since 1970.
            Keys that were seen before lead to entries that nobody is led to any more.

    Raises:
        LogUnavailable: the log database does not answer.
        StoreUnavailable: Redis does not answer.
    """
    life = float(settings.chart_data.timeout) or 86_400.0
    known = candidates(database, options, named, min(lasting or life, life))
    if others := _of_other_roles(known, named.dashboards):
        # The chance of one use or more grows with the rate, so that the order is the same.
        known = sorted(known + others, key=lambda one: (-one.rate, -(one.cost_ms or UNKNOWN_MS)))
    current = _without_old_keys(known, changed_at)
    return _within(options.budget_seconds, _without_lasting(current, min(lasting, life / 2), seconds_left))


def _of_other_roles(known: Sequence[Candidate], dashboards: Collection[int]) -> list[Candidate]:
    """The same requests as users of other roles who open these dashboards, and have not made them yet."""
    if not dashboards:
        return []
    viewers = representatives(dashboards)
    asked = _roles_that_asked(known)
    first: dict[str, Candidate] = {}
    for one in known:
        first.setdefault(one.fingerprint, one)
    return [
        one._replace(user_id=user, guest=None, keys=())
        for fingerprint, one in first.items()
        for roles, user in viewers.get(one.dashboard_id or 0, ())
        if roles not in asked[fingerprint]
    ]


def _roles_that_asked(known: Sequence[Candidate]) -> Mapping[str, set[frozenset[int]]]:
    roles = roles_of({one.user_id for one in known if one.user_id is not None})
    asked: dict[str, set[frozenset[int]]] = defaultdict(set)
    for one in known:
        if one.user_id in roles:
            asked[one.fingerprint].add(roles[one.user_id])
    return asked


def _without_old_keys(known: list[Candidate], changed_at: ChangedAt) -> list[Candidate]:
    """The candidates, without the keys of what has changed since they were seen."""
    if not changed_at:
        return known
    rules = changed_at.get(None, 0.0)
    return [
        one if one.known_at > max(rules, changed_at.get(one.dataset_id or 0, 0.0)) else one._replace(keys=())
        for one in known
    ]


def _without_lasting(known: Sequence[Candidate], lasting: float, seconds_left: SecondsLeft) -> Plan:
    """What does not live long enough; an entry that is there but goes too soon is refreshed."""
    keys = list({key for one in known for key in one.keys})
    left = dict(zip(keys, seconds_left(keys), strict=True)) if keys else {}
    result = Plan()
    for one in known:
        lives = [left[key] for key in one.keys]
        if not lives or None in lives:
            result.items.append(one.item("replay"))
        elif min(life for life in lives if life is not None) <= lasting:
            result.items.append(one.item("refresh"))
        else:
            result.fresh += 1
    return result


def _within(budget_seconds: float | None, whole: Plan) -> Plan:
    """What fits into the budget; a dear item that does not fit is passed over, and cheaper ones may follow."""
    if budget_seconds is None:
        return whole
    left, kept = budget_seconds * 1000, []
    for item in whole.items:
        cost = item.cost_ms or UNKNOWN_MS
        if cost <= left:
            kept.append(item)
            left -= cost
    return Plan(kept, whole.fresh, len(whole.items) - len(kept))
