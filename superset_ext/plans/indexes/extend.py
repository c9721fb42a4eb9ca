"""Which indexes to make within a budget of bytes: one by one, the one that brings most for what it takes.

A step adds an index, in the place of those that it makes needless (as Extend by Schlosser, Kossmann and Boissier does
with one more key at a time). What no plan can save need not be asked for: a statement with all candidates at once costs
what it costs at least, its floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from superset_ext.plans.indexes.index import Index
from superset_ext.plans.indexes.sandwich import Costs, bits

_FIRST = 24  # moves of a step that are asked for before the rest is measured against them
_LEAST = 1e-4  # of all costs; less is not worth an index
_POWERS = (1.0, 0.5, 0.0)  # of the size, by which a benefit is divided: three walks, of which the best is taken


@dataclass(frozen=True, slots=True)
class Move:
    """A set that is one index further.

    Attributes:
        indexes: the set.
        added: the index that it has more.
        bytes: that the set takes more.
    """

    indexes: int
    added: int
    bytes: int


class Search:
    """The search over one workload.

    Args:
        indexes: the candidates, whose numbers are their places.
        sizes: of each, in bytes.
        weights: of each statement, in what it costs its source a unit of cost.
    """

    def __init__(self, costs: Costs, indexes: Sequence[Index], sizes: Sequence[int], weights: Sequence[float]) -> None:
        self._costs = costs
        self._sizes = sizes
        self._weights = weights
        self._statements = range(len(weights))
        self._replaces = _replaced(indexes)
        every = (1 << len(indexes)) - 1
        costs.learn([(number, offer) for number in self._statements for offer in (0, every)])
        self._floor = [costs.cost(number, every) for number in self._statements]
        self._users = [
            [number for number in self._statements if costs.relevant[number] >> place & 1]
            for place in range(len(indexes))
        ]
        self._least = self.total(0) * _LEAST

    def total(self, indexes: int) -> float:
        """The weighted cost of all statements with a set of indexes."""
        return sum(self._weights[number] * self._costs.cost(number, indexes) for number in self._statements)

    def size(self, indexes: int) -> int:
        """Bytes of a set."""
        return sum(self._sizes[number] for number in bits(indexes))

    def best(self, budget: int) -> int:
        """The best set within a budget of bytes that any walk comes to."""
        ends = [self.walk(budget, power) for power in _POWERS]
        return min(ends, key=lambda end: (self.total(end), self.size(end)))

    def walk(self, budget: int, power: float = 1.0, start: int = 0) -> int:
        """The set that greedy steps come to; each divides its benefit by its bytes, raised to `power`."""
        indexes = start
        promises: dict[int, float] = {}
        while (move := self._step(indexes, budget, power, promises)) is not None:
            indexes = move.indexes
        return indexes

    def steps(self, indexes: int) -> list[tuple[int, int]]:
        """The indexes of a set in the order of what they bring for their bytes, each with the set before it."""
        order, before = [], 0
        while rest := [number for number in bits(indexes) if not before >> number & 1]:
            total = self.total(before)
            values = {number: (total - self.total(before | 1 << number)) / self._sizes[number] for number in rest}
            best = max(rest, key=values.__getitem__)
            order.append((best, before))
            before |= 1 << best
        return order

    def _step(self, indexes: int, budget: int, power: float, promises: dict[int, float]) -> Move | None:
        """The best move, or `None` where none is worth it. `promises` is what moves were worth a step ago."""
        now = [self._costs.cost(number, indexes) for number in self._statements]
        room = budget - self.size(indexes)
        open_ = [move for move in self._moves(indexes) if move.bytes <= room]
        bounds = {move.added: self._worth(self._bound(move, now), move, power) for move in open_}
        open_ = sorted(
            (move for move in open_ if bounds[move.added] > 0),
            key=lambda move: -min(bounds[move.added], promises.get(move.added, bounds[move.added])),
        )
        best: tuple[float, Move] | None = None
        for batch in (open_[:_FIRST], open_[_FIRST:]):
            wanted = [move for move in batch if best is None or bounds[move.added] > best[0]]
            self._costs.learn(
                (number, move.indexes)
                for move in wanted
                for number in self._users[move.added]
                if self._gap(number, now)
            )
            for move in wanted:
                worth = promises[move.added] = self._worth(self._benefit(move, now), move, power)
                if worth > 0 and (best is None or worth > best[0]):
                    best = worth, move
        return best[1] if best is not None else None

    def _gap(self, number: int, now: Sequence[float]) -> bool:
        """Whether a statement can become cheaper at all."""
        return now[number] > self._floor[number]

    def _moves(self, indexes: int) -> Iterator[Move]:
        for added, replaced in enumerate(self._replaces):
            if not indexes >> added & 1:
                gone = indexes & replaced
                yield Move(indexes & ~gone | 1 << added, added, self._sizes[added] - self.size(gone))

    def _bound(self, move: Move, now: Sequence[float]) -> float:
        return sum(self._weights[number] * (now[number] - self._floor[number]) for number in self._users[move.added])

    def _benefit(self, move: Move, now: Sequence[float]) -> float:
        numbers = [number for number in self._users[move.added] if self._gap(number, now)]
        return sum(self._weights[number] * (now[number] - self._costs.cost(number, move.indexes)) for number in numbers)

    def _worth(self, benefit: float, move: Move, power: float) -> float:
        """What a move is worth; one that takes no more room is worth more than any that does."""
        if benefit < self._least:
            return 0.0
        return benefit / float(max(move.bytes, 1) ** power)


def _replaced(indexes: Sequence[Index]) -> list[int]:
    """For each index, the set of those that it makes needless."""
    by_table: dict[object, list[int]] = {}
    for number, index in enumerate(indexes):
        by_table.setdefault(index.table, []).append(number)
    return [sum(1 << other for other in by_table[index.table] if index.extends(indexes[other])) for index in indexes]
