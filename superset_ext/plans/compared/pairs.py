"""What is known of each statement and its other text: whether charts are answered so, and what came of it.

Each process has it in memory, since it is asked while somebody waits. `kept.py` brings it to the other processes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["trying", "used", "off"]
TRIALS = 2  # runs of both texts before the other one answers a chart: each goes first once
LOOKED_BACK = 4  # runs of what is used, after which it may be found slow
HELD_OFF_SECONDS = 86_400.0  # after something went wrong; then it is tried anew
MOST = 10_000
COUNTS = ("uses", "runs", "differences", "failures", "stock_ms", "rewritten_ms")


@dataclass(frozen=True, slots=True)
class Key:
    """A statement of a dataset, and the rules by which its other text is made."""

    dataset_id: int
    fingerprint: str
    rules: tuple[str, ...]


@dataclass(slots=True)
class Pair:
    """What is known of a key.

    Attributes:
        database_id: Superset's.
        since: when it got its state, in seconds since 1970.
        counts: as the table has them (`COUNTS`).
        more: what is to be added to those.
        moved: whether its state is to be written.
        trials: milliseconds of both texts, of each run since it is tried.
    """

    database_id: int
    state: State = "trying"
    reason: str = ""
    since: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    more: Counter[str] = field(default_factory=Counter)
    moved: bool = True
    trials: list[tuple[float, float]] = field(default_factory=list)

    def total(self, name: str) -> float:
        """A count, those included that are not written yet."""
        return self.counts[name] + self.more[name]


class Pairs:
    """The pairs of this process.

    Args:
        worth: how many times as fast the other text has to be.
        saved_ms: milliseconds that it has to save.
        clock: seconds since 1970.
    """

    def __init__(self, worth: float, saved_ms: float, clock: Callable[[], float] = time.time) -> None:
        self._worth = worth
        self._saved_ms = saved_ms
        self._clock = clock
        self._lock = threading.Lock()
        self._pairs: dict[Key, Pair] = {}
        self._keys: dict[tuple[int, str], set[Key]] = {}

    def state(self, key: Key) -> tuple[State, str]:
        """Whether charts are answered so, and why not."""
        with self._lock:
            return self._state(key)

    def states(self, dataset_id: int, fingerprint: str) -> dict[Key, tuple[State, str]]:
        """The same of all keys of a statement that are known."""
        with self._lock:
            return {key: self._state(key) for key in self._keys.get((dataset_id, fingerprint), ())}

    def _state(self, key: Key) -> tuple[State, str]:
        pair = self._pairs.get(key)
        if pair is None:
            return ("off", "too many statements are known") if len(self._pairs) >= MOST else ("trying", "")
        if pair.state == "off" and self._clock() - pair.since > HELD_OFF_SECONDS:
            self._move(pair, "trying", "")
        return pair.state, pair.reason

    def stock_ms(self, key: Key) -> float:
        """Milliseconds that Superset's own text took, on the mean of all runs."""
        with self._lock:
            pair = self._pairs.get(key)
            return 0.0 if pair is None else pair.total("stock_ms") / max(pair.total("runs"), 1)

    def used(self, key: Key, database_id: int) -> None:
        """Count a chart that was answered."""
        with self._lock:
            self._of(key, database_id).more["uses"] += 1

    def compared(self, key: Key, database_id: int, stock_ms: float, rewritten_ms: float) -> None:
        """Count a run of both texts that gave the same rows; what is not quicker, at first or later on, is not used."""
        with self._lock:
            pair = self._of(key, database_id)
            for name, value in (("runs", 1), ("stock_ms", stock_ms), ("rewritten_ms", rewritten_ms)):
                pair.more[name] += value  # type: ignore[assignment]
            pair.trials = [*pair.trials[-LOOKED_BACK + 1 :], (stock_ms, rewritten_ms)]
            if pair.state == "trying" and len(pair.trials) >= TRIALS:
                quick = _is_quick(pair, self._worth, self._saved_ms)
                self._move(pair, "used" if quick else "off", "" if quick else "the other text is not quicker")
            elif pair.state == "used" and len(pair.trials) >= LOOKED_BACK and not _is_quick(pair, 1.0, 0.0):
                self._move(pair, "off", "the other text is not quicker any more")

    def superset_goes_first(self, key: Key) -> bool:
        """Whether Superset's own text is to be run first next time: each is in turn, since the first warms caches."""
        with self._lock:
            pair = self._pairs.get(key)
            return pair is None or len(pair.trials) % 2 == 0

    def ended(self, key: Key, database_id: int, reason: str, count: str | None = None) -> None:
        """Answer no chart so for a day."""
        with self._lock:
            pair = self._of(key, database_id)
            if count is not None:
                pair.more[count] += 1
            self._move(pair, "off", reason)

    def again(self, key: Key, database_id: int) -> None:
        """Compare anew before it is used again: the tables have been defined anew."""
        with self._lock:
            self._move(self._of(key, database_id), "trying", "")

    def owed(self) -> dict[Key, tuple[Pair, Counter[str], bool]]:
        """What is to be written: of each pair also its counts to add, and whether its state has changed."""
        with self._lock:
            return {
                key: (pair, Counter(pair.more), pair.moved)
                for key, pair in self._pairs.items()
                if pair.moved or pair.more
            }

    def written(self, owed: Mapping[Key, tuple[Pair, Counter[str], bool]]) -> None:
        """That was written."""
        with self._lock:
            for pair, more, _ in owed.values():
                pair.counts.update(more)
                pair.more.subtract(more)
                pair.more = +pair.more
                pair.moved = False

    def heard(self, pairs: Mapping[Key, Pair]) -> None:
        """What all processes know; what this one has not written yet stays."""
        with self._lock:
            for key, pair in pairs.items():
                own = self._pairs.get(key)
                if own is None:
                    self._put(key, pair)
                elif not own.moved:
                    own.state, own.reason, own.since, own.counts = pair.state, pair.reason, pair.since, pair.counts

    def _of(self, key: Key, database_id: int) -> Pair:
        if key not in self._pairs:
            self._put(key, Pair(database_id, since=self._clock()))
        return self._pairs[key]

    def _put(self, key: Key, pair: Pair) -> None:
        self._pairs[key] = pair
        self._keys.setdefault((key.dataset_id, key.fingerprint), set()).add(key)

    def _move(self, pair: Pair, state: State, reason: str) -> None:
        pair.state, pair.reason, pair.since, pair.moved, pair.trials = state, reason, self._clock(), True, []


def _is_quick(pair: Pair, worth: float, saved_ms: float) -> bool:
    stock, other = (sum(times) for times in zip(*pair.trials, strict=True))
    return bool(stock >= other * worth and stock - other >= saved_ms * len(pair.trials))
