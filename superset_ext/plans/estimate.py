"""What a query would take, in seconds, before it is run: from its cost, and from what plans of like cost took.

A unit of cost is another time on each source, and for each kind of plan. So what the kept plans of the same source took
for a unit is asked of those that are nearest in cost, and how far these are apart is said beside the estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from superset_ext.core.amount import amount
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable

MOST = 40  # plans
LEAST = 9  # plans: of fewer, more than two of ten queries take less than the least or more than the most of them


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a query would take.

    Attributes:
        seconds: half of the plans of like cost took less for a unit of cost, half more; `None` where that is not known.
        least, most: eight of ten queries take so long, if they are like those of the plans.
        plans: that it stands on.
        reason: why there is none; else empty.
    """

    seconds: float | None = None
    least: float | None = None
    most: float | None = None
    plans: int = 0
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "seconds": self.seconds, "seconds_least": self.least, "seconds_most": self.most, "plans": self.plans,
            "reason": self.reason or None,
        }  # fmt: skip

    def text(self) -> str:
        """In a sentence."""
        if self.seconds is None:
            return f"How long it would take is not known: {self.reason}."
        return (
            f"Would take about {_shown(self.seconds)} (estimated): between {_shown(self.least)} and "
            f"{_shown(self.most)} for eight of ten, by {self.plans} plans of slow queries of this source."
        )


def estimate(log: LogDatabase | None, database_id: int, cost: float) -> Estimate:
    """What a query of this cost would take on a source. A log that does not answer is a reason, and no error.

    Args:
        database_id: Superset's.
        cost: the planner's.
    """
    if log is None:
        return Estimate(reason="there is no log database")
    values = {"database_id": database_id, "cost": max(cost, 0.01), "most": MOST}
    try:
        rows = log.query("plans_of_like_cost", values)
    except LogUnavailable:
        return Estimate(reason="the log database does not answer")
    if len(rows) < LEAST:
        return Estimate(
            reason=f"{amount(len(rows), 'plan')} of this source kept, and {LEAST} are needed", plans=len(rows)
        )
    took = sorted(row["duration_ms"] / row["cost"] * max(cost, 0.01) / 1000 for row in rows)
    return Estimate(median(took), *bounds(took), len(took))


def bounds(ordered: Sequence[float]) -> tuple[float, float]:
    """Between which times eight of ten further queries lie, of the ordered times of at least `LEAST` queries like them.

    A further one is as likely in each of the gaps that n times leave before, between and behind them. So the k-th from
    each end leaves out k of n + 1 there (S. S. Wilks, «Determination of Sample Sizes for
    Setting Tolerance Limits», 1941).
    """
    left_out = (len(ordered) + 1) // 10
    return ordered[left_out - 1], ordered[-left_out]


def _shown(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:,.1f} s" if seconds >= 1 else f"{seconds * 1000:,.0f} ms"
