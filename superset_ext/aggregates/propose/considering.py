"""Which aggregates are considered for statements, and which of them are chosen, whatever engine the source is of."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlglot import exp

from superset_ext.aggregates.grain import derives
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.needs import Needs
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.propose.asks import Ask, Asked, Refused, candidates, summed
from superset_ext.aggregates.propose.choose import Candidate, choose
from superset_ext.aggregates.propose.rows import Estimate
from superset_ext.aggregates.tables.definition import full
from superset_ext.aggregates.view import Key, View
from superset_ext.plans.rewrite.rewriting import parsed

_BUDGET_SHARE = 0.1  # of the tables' own bytes, where nobody names a budget
_LEAST_BUDGET = 16 * 2**20
_WORTH = 0.5  # an aggregate of more rows than this share of its relation is none
_MARGIN = 1.2  # by which an estimate may err before a LIMIT counts as one that cuts nothing
Writes = Callable[[str], float | None]


class Sizes(Protocol):
    """How large relations and aggregates of them are, as each engine tells it."""

    def total(self, relation: str) -> float:
        """About how many rows a relation has."""

    def groups(self, view: View, keys: Sequence[Key]) -> Estimate:
        """How many groups some keys make of a view's relation."""

    def types(self, view: View) -> View:
        """The view with the types that its sums would have."""

    def bytes(self, view: View, rows: float) -> float:
        """What so many rows of it would take, with its index."""

    def base_bytes(self, relation: str) -> float:
        """About what the rows of a relation take."""


@dataclass(frozen=True)
class Proposal:
    """An aggregate that is worth its bytes.

    Attributes:
        view: what it keeps, and the statements that make and drop it.
        estimate: of its rows.
        base_rows: of what it is made of, about.
        seconds: that it saves a day, if what a statement takes goes with the rows that it reads.
        serves: the statements that it would answer; of several aggregates the smallest does.
        writes_a_day: rows of its table written a day, whose groups upkeep has to make anew; `None` if not known.
    """

    view: View
    bytes: float
    estimate: Estimate
    base_rows: float
    seconds: float
    serves: tuple[Asked, ...]
    writes_a_day: float | None

    @property
    def name(self) -> str:
        """What it would be called."""
        return self.view.table.rpartition('."')[2].strip('"')


@dataclass(frozen=True)
class Proposed:
    """What to build on a sizes.

    Attributes:
        seconds: that all that was asked took, a day.
        answerable: how many statements an aggregate could answer, and `served` how many these would.
        held: how many those answer that are built.
        refused: why others cannot be answered.
    """

    proposals: tuple[Proposal, ...]
    budget: float
    seconds: float
    answerable: int
    served: int
    refused: tuple[Refused, ...]
    held: int = 0


@dataclass(frozen=True)
class _Considered:
    """A candidate with its size, and what it would gain each statement, by the statement's place."""

    view: View
    bytes: float
    estimate: Estimate
    gains: Mapping[int, float]


class Considering:
    """What is considered for the statements of a sizes.

    Args:
        allowed: what answers may differ by; with the session's time zone.
        held: aggregates that are built; what they answer needs no other one.
    """

    def __init__(self, allowed: Allowed, held: Sequence[View] = ()) -> None:
        self._allowed, self._held = allowed, held
        self.asks: list[Ask] = []
        self.refused: list[Refused] = []
        self.considered: list[_Considered] = []
        self.unanswered: set[int] = set()
        self.held: set[int] = set()
        self.base_rows: dict[str, float] = {}
        self.base_bytes = 0.0

    def take(self, asks: Sequence[Ask], sizes: Sizes) -> None:
        """Consider aggregates for statements, besides those for others that were taken before."""
        first = len(self.asks)
        self.asks += asks
        for relation in dict.fromkeys(ask.shape.relation for ask in asks):
            own = {first + place: ask for place, ask in enumerate(asks) if ask.shape.relation == relation}
            own = {place: ask for place, ask in own.items() if not self._is_held(place, ask)}
            considered = list(self._of_relation(sizes, relation, own))
            self.considered += considered
            answered = {place for one in considered for place in one.gains}
            self._refuse(sizes, {place: ask for place, ask in own.items() if place not in answered})

    def _is_held(self, place: int, ask: Ask) -> bool:
        """Whether an aggregate that is built answers it, which is noted then."""
        if any(isinstance(match(ask.shape, view, self._allowed), Match) for view in self._held):
            self.held.add(place)
        return place in self.held

    def _refuse(self, sizes: Sizes, asks: Mapping[int, Ask]) -> None:
        """Say why statements are not answered even by an aggregate of their own; those that are have one too large."""
        for place, ask in asks.items():
            answer = match(ask.shape, self._expected(sizes, ask.needs)[0], self._allowed)
            if isinstance(answer, Refusal):
                self.unanswered.add(place)
                self.refused.append(Refused(answer.reason, 1, ask.asked.seconds))

    def _of_relation(self, sizes: Sizes, relation: str, asks: Mapping[int, Ask]) -> Iterator[_Considered]:
        whole = self.base_rows[relation] = sizes.total(relation)
        for needs in candidates(list(asks.values())):
            view, estimate = self._expected(sizes, needs)
            if estimate.rows > whole * _WORTH:
                continue
            gains = {
                place: ask.asked.seconds * (1 - estimate.rows / whole)
                for place, ask in asks.items()
                if _keeps(needs, ask.needs) and isinstance(match(ask.shape, view, self._allowed), Match)
            }
            if gains:
                yield _Considered(view, sizes.bytes(view, estimate.rows), estimate, gains)
        self.base_bytes += sizes.base_bytes(relation)

    def _expected(self, sizes: Sizes, needs: Needs) -> tuple[View, Estimate]:
        """What keeps it, with as many rows and values as it may have; how many it has is counted when it is built."""
        view = needs.view(full("proposed"))
        estimate = sizes.groups(view, view.keys)
        values = {view.names[key]: math.ceil(sizes.groups(view, [key]).rows * _MARGIN) + 1 for key in view.keys}
        rows = math.ceil(estimate.rows * _MARGIN)
        return replace(sizes.types(view), rows=rows, distinct=values), estimate

    def chosen(self, seconds: float, budget: float | None, writes: Writes) -> Proposed:
        """The proposals within a budget, those that save most first.

        Args:
            seconds: that all that was asked took, a day.
            budget: bytes; `None`: a tenth of the relations' own, and 16 MiB at least.
            writes: rows of a relation's table written a day, `None` where that is not known.
        """
        budget = max(self.base_bytes * _BUDGET_SHARE, _LEAST_BUDGET) if budget is None else budget
        places = choose([Candidate(one.bytes, one.gains) for one in self.considered], budget)
        serves: dict[int, list[int]] = {number: [] for number in places}
        for place in range(len(self.asks)):
            able = [number for number in places if place in self.considered[number].gains]
            if able:
                serves[min(able, key=lambda number: self.considered[number].estimate.rows)].append(place)
        proposals = [self._proposal(number, asks, writes) for number, asks in serves.items() if asks]
        proposals = _named(sorted(proposals, key=lambda one: -one.seconds), {view.table for view in self._held})
        served = sum(len(asks) for asks in serves.values())
        answerable = len(self.asks) - len(self.unanswered)
        return Proposed(tuple(proposals), budget, seconds, answerable, served, summed(self.refused), len(self.held))

    def _proposal(self, number: int, places: Sequence[int], writes: Writes) -> Proposal:
        one = self.considered[number]
        saved = sum(one.gains[place] for place in places)
        view = replace(one.view, rows=None, distinct={})
        serves = tuple(self.asks[place].asked for place in places)
        base_rows = self.base_rows[view.relation]
        return Proposal(view, one.bytes, one.estimate, base_rows, saved, serves, writes(view.relation))


def _named(proposals: Sequence[Proposal], taken: Collection[str]) -> list[Proposal]:
    """The proposals with names for their tables, which no other aggregate has."""
    numbers: Counter[str] = Counter()
    named = []
    for one in proposals:
        table = first_table(one.view.relation, one.view.engine)
        words = re.sub(r"[^a-z0-9]+", "_", table.name.lower() if table is not None else "").strip("_")[:25]
        numbers[words] += 1
        while full(f"{words}_{numbers[words]}") in taken:
            numbers[words] += 1
        named.append(replace(one, view=replace(one.view, table=full(f"{words}_{numbers[words]}"))))
    return named


def first_table(relation: str, engine: str = "postgres") -> exp.Table | None:
    """The table that a relation is, or the first that it reads."""
    tree = parsed(f"SELECT 1 FROM {relation}" if relation.startswith('"') else relation, engine)  # noqa: S608
    return None if isinstance(tree, str) else next(tree.find_all(exp.Table), None)


def _keeps(kept: Needs, needed: Needs) -> bool:
    """Whether one keeps all that another needs."""
    units = all(
        name in kept.units and (kept.units[name] == unit or (unit is not None and derives(kept.units[name], unit)))
        for name, unit in needed.units.items()
    )
    return units and set(needed.measures) <= set(kept.measures)
