"""What a query would take, in seconds, before it is run: from its cost, and from what plans of like cost took.

A unit of cost is another time on each source, and for each kind of plan. So what the kept plans of the same source took
for a unit is asked of those that are nearest in cost, and how far these are apart is said beside the estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import LogUnavailable

LEAST = 8  # plans; of fewer nothing is said
MOST = 40
_TAIL = 0.1  # of the plans, that take less or more than is said


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a query would take.

    Attributes:
        seconds: half of the plans of like cost took less for a unit of cost, half more; `None` where that is not known.
        least, most: between these are eight of ten such plans.
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
        return Estimate(reason=f"{len(rows)} plans of this source are kept, and {LEAST} are needed", plans=len(rows))
    took = sorted(row["duration_ms"] / row["cost"] * max(cost, 0.01) / 1000 for row in rows)
    return Estimate(median(took), _quantile(took, _TAIL), _quantile(took, 1 - _TAIL), len(took))


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]


def _shown(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:,.1f} s" if seconds >= 1 else f"{seconds * 1000:,.0f} ms"
