"""What the answer of a probe means, and what follows from it.

The same answer means no change. Another answer means a change. These count as another answer: the first one, because
entries may be older; that of a probe that is set differently; the first one after a failure that outlasted its
patience.

A probe that fails says nothing about the data. For `patience` seconds that is tolerated. After that its charts are told
at each of its turns that their data changed, so that they ask the database rather than show what may be old.
"""

from __future__ import annotations

from typing import Literal

from superset_ext.freshness.probe.ask import Reply
from superset_ext.freshness.probe.claims import Claim

AGAIN_SECONDS = 10.0  # between two attempts to tell the caches
# `untold`: changed, but the caches could not be told. `failing` is tolerated; `unknown` counts as changed.
State = Literal["unchanged", "changed", "untold", "failing", "unknown"]


def state_of(claim: Claim, reply: Reply) -> State:
    """What a reply means, before the caches are told."""
    if reply.answer is not None:
        return "unchanged" if reply.answer == claim.answer else "changed"
    # A change that could not be told, or that an earlier failure may hide, is not tolerated a second time.
    owed = claim.answer is None and claim.answered_at is not None
    return "unknown" if owed or claim.failing >= claim.probe.patience else "failing"


def kept_answer(state: State, claim: Claim, reply: Reply) -> str | None:
    """What the next answer is compared with, or `None` if any answer is to count as a change."""
    if state in ("unchanged", "changed"):
        return reply.answer
    return claim.answer if state == "failing" else None


def seconds_to_next_turn(claim: Claim, state: State, is_refused: bool) -> float:
    """Sooner than `every` if the caches could not be told, or if the patience ends before that."""
    if is_refused:
        return min(claim.probe.every, AGAIN_SECONDS)
    left = claim.probe.patience - claim.failing
    return min(claim.probe.every, left) if state == "failing" else claim.probe.every
