"""When an alert begins and ends: what a metric says now, against the rule and what is known of the subject."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Operator = Literal[">", ">=", "<", "<="]
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Limits(Protocol):
    """What of a rule decides."""

    @property
    def comparison_operator(self) -> Operator: ...

    @property
    def threshold_value(self) -> float: ...

    @property
    def clear_value(self) -> float | None: ...

    @property
    def min_occurrences(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric says of one subject.

    Attributes:
        subject: a region, server, database, view, schedule or series.
        value: in the metric's unit; see `alert_metrics.METRICS`.
        occurrences: how often what the rule is about has happened in the window.
        label: the subject as people know it.
        confidence: of an anomaly, 0 to 1; it is what the rule compares then.
        usual: of an anomaly, what the value would have been.
    """

    subject: str
    value: float
    occurrences: int
    label: str
    confidence: float | None = None
    usual: float | None = None

    @property
    def compared(self) -> float:
        """What the rule's threshold is held against."""
        return self.value if self.confidence is None else self.confidence


def begins(rule: Limits, reading: Reading) -> bool:
    """Whether an alert begins where there is none and none has ended within the cool-down."""
    return reading.occurrences >= rule.min_occurrences and _holds(rule, reading.compared, rule.threshold_value)


def lasts(rule: Limits, reading: Reading) -> bool:
    """Whether an alert that there is goes on: not before the value is past `clear_value` has it ended."""
    clear = rule.threshold_value if rule.clear_value is None else rule.clear_value
    return _holds(rule, reading.compared, clear)


def is_worse(rule: Limits, reading: Reading, than: float) -> bool:
    """Whether a reading is worse than what was compared before."""
    return reading.compared > than if rule.comparison_operator in (">", ">=") else reading.compared < than


def _holds(rule: Limits, value: float, limit: float) -> bool:
    return COMPARISONS[rule.comparison_operator](value, limit)
