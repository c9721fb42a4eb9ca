"""How long each dataset's answers live, and what another timeout would bring.

The model is that of renewal: somebody misses, the answer is stored, and the next readers hit until its time is over or
its data changes. If uses are a Poisson process, the odds of a hit (hits over queries) are the rate of uses times the
mean life of an entry. So what was counted says what another life would have brought, without knowing the keys: odds
grow with the life as they do with the traffic. The life under changes at the rate r is (1 - exp(-r T)) / r.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import exp, expm1
from typing import Any, Protocol

from superset_ext.cache.tuned import Tuned, are_told
from superset_ext.core.sql_folder import query_text
from superset_ext.monitor.advice.told import Ask

DAY = 86_400.0
# An entry that may live for three mean intervals between changes ends by a change in 95 of 100 cases: what a still
# longer time could bring is next to nothing.
INTERVALS = 3.0
CHANGES_DAYS = 7  # over which changes are counted: what is loaded once a week is seen once
RELATIVE_SECONDS = 3600.0  # by which «last day» may be late where an answer lives long
MIN_REQUESTS = 100  # in the window: below, ten requests more or less turn the picture
MOST = 50  # datasets that are looked at, by what their expired answers cost


class Limits(Protocol):
    """Within which tuning may set what."""

    @property
    def tune_min_timeout(self) -> float:
        """Seconds below which no timeout is set."""

    @property
    def tune_max_timeout(self) -> float:
        """Seconds above which none is."""

    @property
    def tune_max_grace(self) -> float:
        """Seconds above which no grace is set."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a dataset's chart was asked for in a window; of people's requests.

    Attributes:
        hits: answered from the cache, of which `stale` with an answer whose time was over.
        cold, expired, invalidated, evicted: misses by reason; others have nothing to do with how long answers live.
        bytes_written: stored bytes.
        cost: mean database seconds of an answer.
    """

    dataset_id: int
    chart_id: int
    hits: float
    stale: float
    cold: float
    expired: float
    invalidated: float
    evicted: float
    bytes_written: float
    cost: float

    @property
    def requests(self) -> float:
        """Those that an answer in the cache could have served."""
        return self.hits + self.cold + self.expired + self.invalidated + self.evicted

    @property
    def fresh_hits(self) -> float:
        """Hits that led to no query: one reader of an old answer has it refreshed."""
        return self.hits - self.stale

    @property
    def renewals(self) -> float:
        """Queries for what had been stored before."""
        return self.stale + self.expired + self.invalidated + self.evicted


@dataclass(slots=True)
class Dataset:
    """What is known of a dataset.

    Attributes:
        uses: of its charts.
        tags: what its answers are read from.
        relative: whether some of its requests mean another span at another time.
        reports_changes: whether somebody says so when its data changes.
        change_rate: changes a second that were told.
        timeout, grace: seconds that hold now.
    """

    id: int
    uses: list[Use] = field(default_factory=list)
    tags: tuple[str, ...] = ()
    relative: bool = True
    reports_changes: bool = False
    change_rate: float = 0.0
    timeout: float = 0.0
    grace: float = 0.0

    @property
    def requests(self) -> float:
        """Of the window."""
        return sum(use.requests for use in self.uses)

    @property
    def expired_seconds(self) -> float:
        """Database seconds of the window that went into answers whose time was over."""
        return sum((use.expired + use.stale) * use.cost for use in self.uses)

    @property
    def has_rule(self) -> bool:
        """Whether a rule of the settings says how long its answers live."""
        return any(tag.startswith("rule:") for tag in self.tags)

    def life(self, timeout: float) -> float:
        """Mean seconds that an entry serves where nothing but its time and told changes ends it."""
        rate = self.change_rate
        return -expm1(-rate * timeout) / rate if rate > 0 else timeout

    def saved_by(self, timeout: float) -> float:
        """Database seconds of the window that this timeout would have saved, as the model has it; an estimate."""
        return sum(_saved_by(use, self.life(timeout) / self.life(self.timeout)) for use in self.uses)

    def waited_less_by(self, grace: float) -> float:
        """Seconds of the window that people would not have waited for queries with this grace; an estimate."""
        return sum(self._waited_less(use, grace) for use in self.uses)

    def _waited_less(self, use: Use, grace: float) -> float:
        rate = odds(use.fresh_hits, use.renewals) / self.life(self.timeout)
        more = exp(-rate * self.grace) - exp(-rate * max(grace, self.grace))
        return use.expired * use.cost * more / max(exp(-rate * self.grace), 1e-9)


def odds(good: float, bad: float) -> float:
    """Good for one bad, half a count added to each so that none is infinite."""
    return (good + 0.5) / (bad + 0.5)


def _saved_by(use: Use, longer: float) -> float:
    known = use.fresh_hits + use.renewals
    now = odds(use.fresh_hits, use.renewals)
    gained = known / (1 + now) - known / (1 + now * longer)
    # No longer life answers what was cold, changed or thrown out.
    return min(gained, use.expired + use.stale) * use.cost


def uses(ask: Ask, since: datetime, until: datetime) -> list[Use]:
    """Each chart of each dataset, from the raw log."""
    return [Use(**row) for row in ask(query_text("chart_uses"), {"since": since, "until": until})]


def datasets(
    ask: Ask,
    now: datetime,
    chart_uses: Sequence[Use],
    reported: Collection[str],
    plain: Tuned,
    set_: Mapping[int, Tuned],
) -> list[Dataset]:
    """The datasets that something is set for, and those that these uses are of: first whose expired answers cost most.

    Args:
        reported: see `told.told`.
        plain: what the settings say; `set_`: what is set beside them, by dataset.
    """
    known: dict[int, list[Use]] = defaultdict(list)
    for use in chart_uses:
        known[use.dataset_id].append(use)
    everyone = [Dataset(dataset_id, known[dataset_id]) for dataset_id in {*known, *set_} if dataset_id]
    ranked = sorted(everyone, key=lambda dataset: -dataset.expired_seconds)
    made = [dataset for place, dataset in enumerate(ranked) if place < MOST or dataset.id in set_]
    for dataset in made:
        own = set_.get(dataset.id, Tuned())
        dataset.timeout = _first(own.timeout, plain.timeout)
        dataset.grace = min(_first(own.grace, plain.grace), dataset.timeout)
    _read(ask, made, reported)
    _count_changes(ask, made, now)
    return made


def _first(*values: float | None) -> float:
    return next((value for value in values if value is not None), 0.0)


def _read(ask: Ask, made: Sequence[Dataset], reported: Collection[str]) -> None:
    """What each is read from, as the registry of requests knows it."""
    rows = {
        row["dataset_id"]: row
        for row in ask(query_text("dataset_reads"), {"datasets": [dataset.id for dataset in made]})
    }
    for dataset in made:
        if row := rows.get(dataset.id):
            dataset.tags, dataset.relative = tuple(row["tags"]), bool(row["relative"])
            dataset.reports_changes = are_told(dataset.tags, reported)


def _count_changes(ask: Ask, made: Sequence[Dataset], now: datetime) -> None:
    tags = [" ".join(tag for tag in dataset.tags if tag.startswith(("table:", "dataset:"))) for dataset in made]
    values: dict[str, Any] = {
        "now": now,
        "days": CHANGES_DAYS,
        "datasets": [dataset.id for dataset in made],
        "tags": tags,
    }
    rates = {row["dataset_id"]: float(row["rate"]) for row in ask(query_text("dataset_change_rates"), values)}
    for dataset in made:
        dataset.change_rate = rates.get(dataset.id, 0.0)


def target(dataset: Dataset, limits: Limits) -> float:
    """Seconds that a told dataset's answers had best live."""
    longest = INTERVALS / dataset.change_rate if dataset.change_rate > 0 else limits.tune_max_timeout
    return float(round(min(max(longest, limits.tune_min_timeout), limits.tune_max_timeout)))
