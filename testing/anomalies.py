"""Faults that were put into a series, and which alarms belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Something injected: from which bin to which, and what kind of it."""

    begin: int
    end: int
    what: str


def judge(raised: Sequence[int], faults: Sequence[Fault], slack: int = 6) -> tuple[list[tuple[Fault, int]], list[int]]:
    """The faults that were found, each with its alarm, and the alarms that belong to none.

    An alarm is of a fault if it comes until `slack` bins after its end, when the mean has forgotten it.
    """
    hits: dict[Fault, int] = {}
    false = []
    for at in raised:
        of = next((fault for fault in faults if fault.begin <= at <= fault.end + slack), None)
        if of is None:
            false.append(at)
        else:
            hits.setdefault(of, at)
    return list(hits.items()), false
