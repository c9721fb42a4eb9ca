"""What a rule says of a statement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What one rule made of a statement.

    Attributes:
        changed: what it changed, a line each; none where it did not apply.
        refused: why it did not apply, a line for each place that it looked at.
        times: how many times as fast it should be, by the source's statistics; 1 where nothing is gained.
        below: the answer is only sure where fewer rows than this come back; `None`: always.
    """

    changed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    times: float = 1.0
    below: int | None = None


class Verdicts:
    """Collects what a rule says of one place after the other."""

    def __init__(self, nothing: str) -> None:
        self._nothing = nothing
        self._changed: list[str] = []
        self._refused: list[str] = []
        self._times = 1.0
        self._below: int | None = None

    def change(self, line: str, times: float, below: int | None = None) -> None:
        """A place was changed."""
        if line not in self._changed:
            self._changed.append(line)
        self._times = max(self._times, times)
        self._below = below if self._below is None else self._below if below is None else min(below, self._below)

    def refuse(self, line: str) -> None:
        """A place was left as it is."""
        if line not in self._refused:
            self._refused.append(line)

    def verdict(self) -> Verdict:
        """All of it; where no place was met, the line that says so."""
        refused = self._refused if self._refused or self._changed else [self._nothing]
        return Verdict(tuple(self._changed), tuple(refused), self._times, self._below)
