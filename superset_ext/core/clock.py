"""Clocks of other machines beside this one's."""

from __future__ import annotations


def skew(at: float, before: float, after: float) -> float:
    """Seconds by which another clock is surely ahead, negative behind.

    Args:
        at: what it said, in seconds since 1970.
        before: this clock when it was asked.
        after: this clock when its answer was there: a slow answer is no skew.
    """
    return max(0.0, at - after) + min(0.0, at - before)
