"""Which step to take: a longer timeout, a shorter one where memory is short, a longer grace.

Each kind is a function from what is known of a dataset to a step, or nothing. The first kind that has a step worth
taking is the one whose best step is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from superset_ext.monitor.advice.lifetimes import MIN_REQUESTS, Dataset, Limits, Use, odds, target
from superset_ext.monitor.advice.overrides import Setting

STEP = 8.0  # times: from a quarter of an hour to a day in three steps
LEAST = 1.1  # times: what is nearer is not worth a window of measuring
FIRST_GRACE = 60.0  # seconds, where there is none
MIN_GAIN_SECONDS = 1.0  # of the window: less is lost in the noise of any database
SHORT_OF_MEMORY = 0.05  # share of requests whose answer was evicted, from which on longer lives do harm
SELDOM_READ = 0.5  # hits for one query, below which an entry mostly takes room


@dataclass(frozen=True, slots=True)
class Step:
    """What may be set.

    Attributes:
        old, new: seconds that hold now, and that would.
        gain: seconds of the window that it may bring, an estimate.
        reason: what speaks for it.
    """

    dataset_id: int
    setting: Setting
    old: float
    new: float
    gain: float
    reason: str


@dataclass(frozen=True, slots=True)
class Situation:
    """All datasets together.

    Attributes:
        requests: that an answer in the cache could have served.
        evicted: those of them whose answer had been evicted, and `evicted_seconds` what they cost.
        held: byte seconds that entries are kept for, if each lives to its end.
    """

    requests: float
    evicted: float
    evicted_seconds: float
    held: float

    @property
    def is_short_of_memory(self) -> bool:
        """Whether longer lives would throw out what others read."""
        return self.evicted >= SHORT_OF_MEMORY * self.requests > 0


Kind = Callable[[Dataset, Situation, Limits], "Step | None"]


def situation(uses: Sequence[Use], datasets: Sequence[Dataset]) -> Situation:
    """What these uses come to."""
    return Situation(
        sum(use.requests for use in uses),
        sum(use.evicted for use in uses),
        sum(use.evicted * use.cost for use in uses),
        sum(_held(dataset, dataset.timeout) for dataset in datasets),
    )


def _held(dataset: Dataset, timeout: float) -> float:
    return sum(use.bytes_written for use in dataset.uses) * dataset.life(timeout)


def may_live_longer(dataset: Dataset) -> bool:
    """Whether nobody would be shown what is old: its changes are told, and no request means another span tomorrow."""
    return dataset.reports_changes and not dataset.relative and not dataset.has_rule and dataset.timeout > 0


def longer(dataset: Dataset, now: Situation, limits: Limits) -> Step | None:
    """A longer timeout, where changes are told."""
    new = min(target(dataset, limits), max(dataset.timeout * STEP, limits.tune_min_timeout))
    if not may_live_longer(dataset) or now.is_short_of_memory or new < dataset.timeout * LEAST:
        return None
    changes = dataset.change_rate * 86_400
    reason = f"its changes are told ({changes:.1f} a day), and {dataset.expired_seconds:.0f} database seconds of the "
    reason += "window went into answers whose time was over"
    return Step(dataset.id, "timeout", dataset.timeout, new, dataset.saved_by(new), reason)


def shorter(dataset: Dataset, now: Situation, limits: Limits) -> Step | None:
    """A shorter timeout, where memory is short and hardly anybody reads this dataset's answers twice."""
    new = max(dataset.timeout / STEP, limits.tune_min_timeout)
    reads = odds(sum(use.fresh_hits for use in dataset.uses), sum(use.renewals + use.cold for use in dataset.uses))
    if dataset.has_rule or not now.is_short_of_memory or reads > SELDOM_READ or new * LEAST > dataset.timeout:
        return None
    if new > limits.tune_max_timeout:
        return None
    freed = (_held(dataset, dataset.timeout) - _held(dataset, new)) / (now.held or 1.0)
    reason = f"{now.evicted / now.requests:.0%} of requests found their answer evicted, and this dataset's answers are "
    reason += f"read {reads:.2f} times each"
    return Step(
        dataset.id, "timeout", dataset.timeout, new, now.evicted_seconds * freed + dataset.saved_by(new), reason
    )


def more_grace(dataset: Dataset, now: Situation, limits: Limits) -> Step | None:
    """A longer grace, where a longer timeout has nothing to give any more."""
    new = min(max(dataset.grace * STEP, FIRST_GRACE), limits.tune_max_grace, dataset.timeout)
    if not may_live_longer(dataset) or now.is_short_of_memory or new < max(dataset.grace * LEAST, 1.0):
        return None
    reason = f"{dataset.expired_seconds:.0f} seconds of the window were waited for answers whose time was over"
    return Step(dataset.id, "grace", dataset.grace, new, dataset.waited_less_by(new), reason)


KINDS: tuple[Kind, ...] = (longer, shorter, more_grace)


def best(datasets: Sequence[Dataset], now: Situation, limits: Limits) -> Step | None:
    """The step to take, of datasets that are asked for often enough to tell what it brings."""
    asked = [dataset for dataset in datasets if dataset.requests >= MIN_REQUESTS]
    for kind in KINDS:
        steps = [step for dataset in asked if (step := kind(dataset, now, limits))]
        winner = max(steps, key=lambda step: step.gain, default=None)
        if winner is not None and winner.gain >= MIN_GAIN_SECONDS:
            return winner
    return None
