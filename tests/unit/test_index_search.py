"""The search for indexes over a planner that is known through and through: the cheapest plan that there is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superset_ext.plans.indexes import extend
from superset_ext.plans.indexes.extend import Search
from superset_ext.plans.indexes.index import Index, Key, TableName
from superset_ext.plans.indexes.sandwich import Costs, bits
from superset_ext.plans.indexes.whatif import Cost, Question

TABLE = TableName("public", "t")
# Of a statement: the plans that it has beside the one without indexes, each with its set of indexes and its cost.
Plans = tuple[tuple[int, float], ...]


@dataclass
class Planner:
    """A planner whose plans are listed.

    Attributes:
        asked: the statements and sets that it was asked.
    """

    statements: Sequence[Plans]
    without: float = 100.0
    asked: list[tuple[int, int]] = field(default_factory=list)
    trips: int = 0

    def plan(self, statement: int, indexes: int) -> tuple[float, int]:
        able = [(cost, used) for used, cost in self.statements[statement] if not used & ~indexes]
        return min([(self.without, 0), *able])

    def ask(self, questions: Sequence[Question]) -> list[list[Cost | None]]:
        self.trips += 1
        return [[self._cost(number, question) for number in question.statements] for question in questions]

    def _cost(self, number: int, question: Question) -> Cost:
        indexes = sum(1 << index for index in question.indexes)
        self.asked.append((number, indexes))
        cost, used = self.plan(number, indexes)
        return Cost(cost, tuple(bits(used)), 1.0)


def columns(*names: str) -> list[Index]:
    """An index for each text, whose letters are its columns."""
    return [Index(TABLE, tuple(map(Key, name))) for name in names]


PLANS = st.lists(st.tuples(st.integers(1, 63), st.floats(1.0, 99.0)), max_size=6).map(tuple)
PLANNERS = st.lists(PLANS, min_size=1, max_size=4).map(Planner)


@given(PLANNERS, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 63)), max_size=40))
def test_a_cost_that_was_not_asked_is_the_planners_own(planner: Planner, wanted: list[tuple[int, int]]) -> None:
    """Intent: what follows from earlier answers is what the source would say, whatever was asked before."""
    costs = Costs(planner, [63] * len(planner.statements))
    for statement, indexes in wanted:
        statement %= len(planner.statements)
        assert costs.cost(statement, indexes) == planner.plan(statement, indexes)[0]
    assert len(planner.asked) == len(set(planner.asked)), "the same was asked twice"


@given(PLANNERS)
def test_what_lies_between_is_not_asked(planner: Planner) -> None:
    """Intent: one answer with all indexes holds for each set that has those of its plan."""
    costs = Costs(planner, [63] * len(planner.statements))
    costs.learn((number, 63) for number in range(len(planner.statements)))
    for number in range(len(planner.statements)):
        used = planner.plan(number, 63)[1]
        for others in range(64):
            assert costs.known(number, used | others) is not None
    assert planner.trips == 1


def search(planner: Planner, indexes: list[Index], sizes: list[int]) -> Search:
    every = (1 << len(indexes)) - 1
    return Search(Costs(planner, [every] * len(planner.statements)), indexes, sizes, [1.0] * len(planner.statements))


@given(PLANNERS, st.lists(st.integers(1, 50), min_size=6, max_size=6), st.integers(0, 200))
def test_a_budget_is_kept_and_nothing_gets_dearer(planner: Planner, sizes: list[int], budget: int) -> None:
    """Intent: the set fits, costs no more than none, and the costs that it was chosen by are the planner's."""
    own = search(planner, columns("a", "b", "c", "d", "e", "f"), sizes)
    chosen = own.best(budget)
    assert own.size(chosen) <= budget
    direct = sum(planner.plan(number, chosen)[0] for number in range(len(planner.statements)))
    assert own.total(chosen) == direct <= own.total(0)


def test_walks_wait_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: two walks take no more round trips than the longer one by itself, whatever each of them wants when."""
    both = extend._POWERS
    for seed in range(300):
        trips = []
        for powers in (both, *((power,) for power in both)):
            monkeypatch.setattr(extend, "_POWERS", powers)
            trips.append(_trips(random.Random(seed)))
        assert trips[0] <= max(trips[1:]), seed


def _trips(dice: random.Random) -> int:
    """Round trips of a search over eight indexes of a few tables."""
    tables = dice.choice([1, 2, 4])
    indexes = [Index(TableName("public", f"t{n % tables}"), (Key("abcdefgh"[n]),)) for n in range(8)]
    statements = [
        tuple((dice.randrange(1, 256) & dice.randrange(1, 256) or 1, dice.uniform(1, 99)) for _ in range(plans))
        for plans in dice.choices(range(1, 7), k=dice.randrange(1, 7))
    ]
    planner = Planner(statements)
    search(planner, indexes, [dice.randrange(1, 50) for _ in indexes]).best(dice.randrange(20, 250))
    return planner.trips


def test_what_brings_most_for_its_bytes_comes_first() -> None:
    """Intent: a small index that brings much goes before a large one that brings a little more."""
    planner = Planner([((1, 40.0),), ((2, 30.0),)])
    own = search(planner, columns("a", "b"), [10, 1000])
    assert own.best(10) == 1
    assert own.best(1010) == 3
    assert [number for number, _ in own.steps(3)] == [0, 1]


def test_a_longer_index_takes_the_place_of_a_shorter_one() -> None:
    """Intent: (a, b) answers all that (a) does, so that nobody pays for both."""
    planner = Planner([((1, 50.0), (2, 50.0)), ((2, 10.0),)])
    own = search(planner, columns("a", "ab"), [10, 15])
    assert own.best(100) == 2


def test_what_cannot_save_anything_is_not_asked_for() -> None:
    """Intent: a statement that no index helps costs two plans, and not two for each step."""
    planner = Planner([(), ((1, 10.0),)])
    own = search(planner, columns("a", "b", "c"), [10, 10, 10])
    own.best(100)
    assert len([statement for statement, _ in planner.asked if statement == 0]) == 2


def test_what_cannot_be_planned_asks_for_no_index() -> None:
    """Intent: a statement that the source refuses neither ends the run nor is asked again."""

    class Refusing(Planner):
        def ask(self, questions: Sequence[Question]) -> list[list[Cost | None]]:
            super().ask(questions)
            return [[None for _ in question.statements] for question in questions]

    planner = Refusing([((1, 10.0),)])
    own = search(planner, columns("a"), [1])
    assert own.best(100) == 0
    assert (len(planner.asked), planner.trips) == (2, 1)
