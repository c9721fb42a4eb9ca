"""How old uses lose weight, as SQL."""

from __future__ import annotations

USES_HALF_DAYS = 7.0
HOURS_HALF_DAYS = 28.0


def decayed(age: str, half_days: float | str) -> str:
    """SQL for the share that is left of a count after the interval `age`, when half of it is gone after `half_days`.

    The exponent is bounded, because no float8 is as small as 2 ** -1100.
    """
    days = f"greatest(extract(epoch FROM {age})::float8, 0) / 86400"
    return f"power(0.5::float8, least(900, {days} / {half_days}))"
