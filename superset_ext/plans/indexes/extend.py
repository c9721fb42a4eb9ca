"""Which indexes to make within a budget of bytes: one by one, the one that brings most for what it takes.

A step adds an index, in the place of those that it makes needless (as Extend by Schlosser, Kossmann and Boissier does
with one more key at a time). What no plan can save need not be asked for: a statement with all candidates at once costs
what it costs at least, its floor.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from superset_ext.plans.indexes.index import Index, TableName
from superset_ext.plans.indexes.sandwich import Costs, bits

_FIRST = 24  # moves of a step that are asked for before the rest is measured against them
_LEAST = 1e-4  # of all costs; less is not worth an index
_POWERS = (1.0, 0.5)  # of the size, by which a benefit is divided: three walks, of which the best is taken
# Statements with sets of indexes, whose costs are wanted.
Wanted = list[tuple[int, int]]


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
        self._groups = (
            _grouped([index.table for index in indexes]), _grouped([(index.table, index.keys[0]) for index in indexes]),
        )  # fmt: skip
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
        """The best set within a budget of bytes that any walk comes to.

        The walks go side by side, each to where it wants to know something, so that this takes one round trip.
        """
        ends: list[int] = []
        walks = [self._walk(budget, power, ends) for power in _POWERS]
        while unknown := [pair for walk in walks for pair in self._unknown(walk)]:
            self._costs.learn(dict.fromkeys(unknown))
        return min(ends, key=lambda end: (self.total(end), self.size(end)))

    def _unknown(self, walk: Iterator[Wanted]) -> Wanted:
        """What a walk wants to know next that is not known; nothing where it has come to its end."""
        unknown = (list(self._costs.unknown(wanted)) for wanted in walk)
        return next((pairs for pairs in unknown if pairs), [])

    def _walk(self, budget: int, power: float, ends: list[int]) -> Iterator[Wanted]:
        """Greedy steps, each of which divides its benefit by its bytes, raised to `power`; the last set goes to `ends`.

        Yields:
            what has to be learnt before the next is asked for.
        """
        indexes = 0
        while True:
            yield [(number, indexes) for number in self._statements]
            step = _Step([self._costs.cost(number, indexes) for number in self._statements], power)
            yield from self._step(indexes, budget, step)
            if step.move is None:
                ends.append(indexes)
                return
            indexes = step.move.indexes

    def steps(self, indexes: int) -> list[tuple[int, int]]:
        """The indexes of a set in the order of what they bring for their bytes, each with the set before it."""
        order, before = [], 0
        while rest := [number for number in bits(indexes) if not before >> number & 1]:
            self._costs.learn((number, before | 1 << place) for place in rest for number in self._users[place])
            total = self.total(before)
            values = {number: (total - self.total(before | 1 << number)) / self._sizes[number] for number in rest}
            best = max(rest, key=values.__getitem__)
            order.append((best, before))
            before |= 1 << best
        return order

    def _step(self, indexes: int, budget: int, step: _Step) -> Iterator[Wanted]:
        """Look for the best move.

        Moves are not asked for one by one. What a statement costs with all candidates of a table, and then with all
        that begin with one column, bounds what each of them can save; and it tells their costs where the plan uses one
        of them or none.
        """
        room = budget - self.size(indexes)
        moves = [move for move in self._moves(indexes) if move.bytes <= room]
        for groups in self._groups:
            wanted = [(number, indexes | groups[move.added]) for move in moves for number in self._able(move, step)]
            yield wanted
            bounds = {move.added: self._bound(move, step, indexes | groups[move.added]) for move in moves}
            self._take(moves, step)
            moves = [move for move in moves if step.worth(bounds[move.added], move) > step.most]
        moves.sort(key=lambda move: -step.worth(bounds[move.added], move))
        for batch in (moves[:_FIRST], moves[_FIRST:]):
            left = [move for move in batch if step.worth(bounds[move.added], move) > step.most]
            yield [(number, move.indexes) for move in left for number in self._able(move, step)]
            self._take(left, step)

    def _bound(self, move: Move, step: _Step, indexes: int) -> float:
        """What a move can save at most: what all of its group save."""
        return sum(
            self._weights[number] * (step.now[number] - self._costs.cost(number, indexes))
            for number in self._able(move, step)
        )

    def _take(self, moves: Sequence[Move], step: _Step) -> None:
        """Measure those of the moves whose costs are known."""
        for move in moves:
            numbers = self._able(move, step)
            costs = [self._costs.known(number, move.indexes) for number in numbers]
            pairs = zip(numbers, costs, strict=True)
            saved = [self._weights[number] * (step.now[number] - cost) for number, cost in pairs if cost is not None]
            if len(saved) == len(costs) and sum(saved) >= self._least:
                step.take(sum(saved), move)

    def _able(self, move: Move, step: _Step) -> list[int]:
        """The statements that a move may make cheaper at all."""
        return [number for number in self._users[move.added] if step.now[number] > self._floor[number]]

    def _moves(self, indexes: int) -> Iterator[Move]:
        for added, replaced in enumerate(self._replaces):
            if not indexes >> added & 1:
                gone = indexes & replaced
                yield Move(indexes & ~gone | 1 << added, added, self._sizes[added] - self.size(gone))


@dataclass
class _Step:
    """The best move so far.

    Attributes:
        now: what each statement costs before.
        power: of the bytes, by which a benefit is divided.
        most: what the best one is worth.
    """

    now: Sequence[float]
    power: float
    move: Move | None = None
    most: float = 0.0

    def worth(self, benefit: float, move: Move) -> float:
        """What a move is worth; one that takes no more room is worth more than most that do."""
        return benefit / float(max(move.bytes, 1) ** self.power)

    def take(self, benefit: float, move: Move) -> None:
        """Keep the move if it is the best."""
        if self.worth(benefit, move) > self.most:
            self.move, self.most = move, self.worth(benefit, move)


def _grouped(names: Sequence[Hashable]) -> list[int]:
    """For each index, the set of those of the same name."""
    sets: dict[Hashable, int] = {}
    for number, name in enumerate(names):
        sets[name] = sets.get(name, 0) | 1 << number
    return [sets[name] for name in names]


def _replaced(indexes: Sequence[Index]) -> list[int]:
    """For each index, the set of those that it makes needless."""
    by_table: dict[TableName, list[int]] = {}
    for number, index in enumerate(indexes):
        by_table.setdefault(index.table, []).append(number)
    return [sum(1 << other for other in by_table[index.table] if index.extends(indexes[other])) for index in indexes]
