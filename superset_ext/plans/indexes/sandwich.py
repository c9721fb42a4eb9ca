"""Costs of statements under sets of indexes, each asked of the source at most once, and often not at all.

A cost that was asked with the indexes S′, of which the plan uses U, is that of every set between the two: with fewer
offers the planner still finds this plan, and none that was not there before. Only indexes that a statement could use
are told apart. Sets are numbers, with a bit for each index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from superset_ext.plans.indexes.whatif import Cost, Question


class Asks(Protocol):
    """What answers questions; see `WhatIf`."""

    def ask(self, questions: Sequence[Question]) -> list[list[Cost | None]]:
        """The cost of each statement of each question."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    offered: int
    used: int
    cost: float


class Costs:
    """The costs of a run's statements.

    Args:
        relevant: for each statement, the set of indexes that it could use.

    Attributes:
        requests: costs that were wanted so far.
    """

    def __init__(self, source: Asks, relevant: Sequence[int]) -> None:
        self._source = source
        self.relevant = relevant
        self._known: list[list[_Known]] = [[] for _ in relevant]
        self.requests = 0

    def known(self, statement: int, indexes: int) -> float | None:
        """The cost of a statement with a set of indexes, if it follows from what was asked before."""
        offer = indexes & self.relevant[statement]
        for answer in self._known[statement]:
            if not answer.used & ~offer and not offer & ~answer.offered:
                return answer.cost
        return None

    def unknown(self, wanted: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """What of this would have to be asked for, each once: statements with the indexes that they could use."""
        seen: set[tuple[int, int]] = set()
        for statement, indexes in wanted:
            pair = statement, indexes & self.relevant[statement]
            if pair not in seen and self.known(*pair) is None:
                seen.add(pair)
                yield pair

    def learn(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Ask for what is not known yet of these statements with these sets, in one round trip or none."""
        missing: dict[int, list[int]] = {}
        asked: set[tuple[int, int]] = set()
        for statement, indexes in wanted:
            self.requests += 1
            offer = indexes & self.relevant[statement]
            if (statement, offer) not in asked and self.known(statement, offer) is None:
                asked.add((statement, offer))
                missing.setdefault(offer, []).append(statement)
        if missing:
            questions = [Question(tuple(bits(offer)), tuple(numbers)) for offer, numbers in sorted(missing.items())]
            for question, costs in zip(questions, self._source.ask(questions), strict=True):
                self._keep(question, costs)

    def _keep(self, question: Question, costs: Sequence[Cost | None]) -> None:
        """A statement that cannot be planned costs nothing with any index, so that it asks for none."""
        offered = sum(1 << number for number in question.indexes)
        for statement, cost in zip(question.statements, costs, strict=True):
            used = sum(1 << number for number in set(cost.used)) if cost is not None else 0
            self._known[statement].append(_Known(offered if cost else -1, used, cost.total if cost else 0.0))

    def cost(self, statement: int, indexes: int) -> float:
        """The cost of a statement with a set of indexes; it is asked for if need be."""
        while (answer := self.known(statement, indexes)) is None:
            self.learn([(statement, indexes)])
        return answer


def bits(indexes: int) -> Iterator[int]:
    """The numbers of the indexes in a set."""
    while indexes:
        lowest = indexes & -indexes
        yield lowest.bit_length() - 1
        indexes ^= lowest
