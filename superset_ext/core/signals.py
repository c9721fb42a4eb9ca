"""Telling upper rooms by a signal: a receiver can neither answer nor raise."""

from __future__ import annotations

from collections import Counter
from typing import Any

from blinker import Signal

from superset_ext.core.warn_once import warn

failures: Counter[str] = Counter()  # by receiver, since the process began


def tell(signal: Signal, sender: Any, event: Any) -> None:
    """Call each receiver with `event`. One that fails is counted, named in a warning, and stops nothing."""
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, event=event)
        except Exception as error:  # noqa: BLE001  (what a receiver does is not the sender's affair)
            name = getattr(receiver, "__qualname__", type(receiver).__name__)
            failures[name] += 1
            warn(f"signal {name}", "%s failed (%s); what it does is missing this time", name, type(error).__name__)
