"""Which alerts the verdicts over a series raise, and what these are worth, for `bench/anomaly.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from superset_ext.monitor.alerts.anomaly import BIN_SECONDS, Verdict
from superset_ext.monitor.alerts.rules import AlertRule
from superset_ext.monitor.alerts.state import Reading, begins, lasts

# As the built-in rule has it.
RULE = AlertRule(
    name="bench", metric_type="anomaly", comparison_operator=">=", threshold_value=0.96, clear_value=0.8,
    min_occurrences=20, cooldown_minutes=120, window_minutes=30,
)  # fmt: skip
MINUTES = BIN_SECONDS // 60


def alarms(verdicts: Sequence[Verdict | None], rule: AlertRule = RULE) -> list[int]:
    """The bins at which an alert begins, as `alerts.evaluate` would raise it once every five minutes."""
    indexes: list[int] = []
    is_open, quiet_until = False, -1
    for index, seen in enumerate(verdicts):
        reading = None if seen is None else Reading("", seen.value, int(seen.events), "", seen.confidence)
        if is_open:
            if reading is None or not lasts(rule, reading):
                is_open, quiet_until = False, index + rule.cooldown_minutes // MINUTES
        elif reading is not None and index > quiet_until and begins(rule, reading):
            is_open = True
            indexes.append(index)
    return indexes


@dataclass(slots=True)
class Score:
    """What came of the alarms of some series."""

    hits: int = 0
    faults: int = 0
    false: int = 0
    weeks: float = 0.0

    def shown(self) -> dict[str, float]:
        """As the JSON has it."""
        return {
            "faults": self.faults,
            "found": round(self.hits / self.faults, 3) if self.faults else 0.0,
            "false_alarms_per_week": round(self.false / self.weeks, 3),
        }
