"""From what was asked of a source to aggregates that are worth building. The source is read, and nothing is made."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from superset_ext.aggregates.grain import derives
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.needs import Needs
from superset_ext.aggregates.over import EXACT, Allowed
from superset_ext.aggregates.propose.asks import Ask, Asked, Refused, candidates, read, summed
from superset_ext.aggregates.propose.choose import Candidate, choose
from superset_ext.aggregates.propose.rows import Estimate, Source
from superset_ext.aggregates.tables.definition import full
from superset_ext.aggregates.view import View
from superset_ext.plans.indexes.catalog import read_catalog
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from superset_ext.plans.rewrite.rewriting import parsed

_BUDGET_SHARE = 0.1  # of the tables' own bytes, where nobody names a budget
_LEAST_BUDGET = 16 * 2**20
_WORTH = 0.5  # an aggregate of more rows than this share of its relation is none
_MARGIN = 1.2  # by which an estimate may err before a LIMIT counts as one that cuts nothing
_PATH = "SELECT set_config('search_path', concat_ws(',', quote_ident(%s), %s), true)"


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
    """What to build on a source.

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


def propose(
    cursor: Any, asked: Sequence[Asked], budget: float | None = None, allowed: Allowed = EXACT,
    held: Sequence[View] = (),
) -> Proposed:  # fmt: skip
    """The aggregates that would save most for their bytes.

    Args:
        cursor: of a transaction of the source that may only read.
        budget: bytes that they may take in all; by default a tenth of the tables that are asked, and 16 MiB at least.
        allowed: what answers may differ by.
        held: aggregates that are built; what they answer needs no other one.

    Raises:
        Exception: whatever the driver raises.
    """
    cursor.execute("SELECT current_setting('timezone'), current_setting('search_path')")
    zone, path = cursor.fetchone()
    looks = _Looks(cursor, replace(allowed, zone=zone), path, held)
    for schema in sorted({one.schema or "" for one in asked}):
        looks.take([one for one in asked if (one.schema or "") == schema], schema or None)
    return looks.chosen(sum(one.seconds for one in asked), budget)


@dataclass(frozen=True)
class _Considered:
    """A candidate with its size, and what it would gain each statement, by the statement's place."""

    view: View
    bytes: float
    estimate: Estimate
    gains: Mapping[int, float]


class _Looks:
    """What is seen of a source, schema by schema."""

    def __init__(self, cursor: Any, allowed: Allowed, path: str, held: Sequence[View]) -> None:
        self._cursor, self._allowed, self._path, self._held = cursor, allowed, path, held
        self.asks: list[Ask] = []
        self.refused: list[Refused] = []
        self.considered: list[_Considered] = []
        self.unanswered: set[int] = set()
        self.held: set[int] = set()
        self.base_rows: dict[str, float] = {}
        self.base_bytes = 0.0

    def take(self, asked: Sequence[Asked], schema: str | None) -> None:
        """Read statements whose names are looked up in a schema, and consider aggregates for them."""
        self._cursor.execute(_PATH, (schema, self._path))
        facts = PostgreSQL(self._ask)
        asks, refused = read(asked, lambda _: facts, self._allowed.zone)
        self.refused += refused
        first = len(self.asks)
        self.asks += asks
        source = Source(self._cursor)
        for relation in dict.fromkeys(ask.shape.relation for ask in asks):
            own = {first + place: ask for place, ask in enumerate(asks) if ask.shape.relation == relation}
            own = {place: ask for place, ask in own.items() if not self._is_held(place, ask)}
            considered = list(self._of_relation(source, relation, own))
            self.considered += considered
            answered = {place for one in considered for place in one.gains}
            self._refuse(source, {place: ask for place, ask in own.items() if place not in answered})

    def _is_held(self, place: int, ask: Ask) -> bool:
        """Whether an aggregate that is built answers it, which is noted then."""
        if any(isinstance(match(ask.shape, view, self._allowed), Match) for view in self._held):
            self.held.add(place)
        return place in self.held

    def _refuse(self, source: Source, asks: Mapping[int, Ask]) -> None:
        """Say why statements are not answered even by an aggregate of their own; those that are have one too large."""
        for place, ask in asks.items():
            answer = match(ask.shape, self._expected(source, ask.needs)[0], self._allowed)
            if isinstance(answer, Refusal):
                self.unanswered.add(place)
                self.refused.append(Refused(answer.reason, 1, ask.asked.seconds))

    def _ask(self, sql: str, values: Sequence[Any]) -> list[Sequence[Any]]:
        self._cursor.execute(sql, values)
        return list(self._cursor.fetchall())

    def _of_relation(self, source: Source, relation: str, asks: Mapping[int, Ask]) -> Iterator[_Considered]:
        whole = self.base_rows[relation] = source.total(relation)
        for needs in candidates(list(asks.values())):
            view, estimate = self._expected(source, needs)
            if estimate.rows > whole * _WORTH:
                continue
            gains = {
                place: ask.asked.seconds * (1 - estimate.rows / whole)
                for place, ask in asks.items()
                if _keeps(needs, ask.needs) and isinstance(match(ask.shape, view, self._allowed), Match)
            }
            if gains:
                yield _Considered(view, source.bytes(view, estimate.rows), estimate, gains)
        self.base_bytes += source.base_bytes(relation)

    def _expected(self, source: Source, needs: Needs) -> tuple[View, Estimate]:
        """What keeps it, with as many rows and values as it may have; how many it has is counted when it is built."""
        view = needs.view(full("proposed"))
        estimate = source.groups(view, view.keys)
        values = {view.names[key]: math.ceil(source.groups(view, [key]).rows * _MARGIN) + 1 for key in view.keys}
        rows = math.ceil(estimate.rows * _MARGIN)
        return replace(source.types(view), rows=rows, distinct=values), estimate

    def chosen(self, seconds: float, budget: float | None) -> Proposed:
        """The proposals within a budget, those that save most first."""
        budget = max(self.base_bytes * _BUDGET_SHARE, _LEAST_BUDGET) if budget is None else budget
        places = choose([Candidate(one.bytes, one.gains) for one in self.considered], budget)
        serves: dict[int, list[int]] = {number: [] for number in places}
        for place in range(len(self.asks)):
            able = [number for number in places if place in self.considered[number].gains]
            if able:
                serves[min(able, key=lambda number: self.considered[number].estimate.rows)].append(place)
        proposals = [self._proposal(number, asks) for number, asks in serves.items() if asks]
        proposals = _named(sorted(proposals, key=lambda one: -one.seconds), {view.table for view in self._held})
        served = sum(len(asks) for asks in serves.values())
        answerable = len(self.asks) - len(self.unanswered)
        return Proposed(tuple(proposals), budget, seconds, answerable, served, summed(self.refused), len(self.held))

    def _proposal(self, number: int, places: Sequence[int]) -> Proposal:
        one = self.considered[number]
        saved = sum(one.gains[place] for place in places)
        view = replace(one.view, rows=None, distinct={})
        serves = tuple(self.asks[place].asked for place in places)
        base_rows = self.base_rows[view.relation]
        return Proposal(view, one.bytes, one.estimate, base_rows, saved, serves, self._writes(view.relation))

    def _writes(self, relation: str) -> float | None:
        """Rows of its table written a day."""
        named = _first_table(relation) if relation.startswith('"') else None
        if named is None:
            return None
        tables = read_catalog(self._cursor, [named.name]).tables
        own = [one for one in tables if one.name.schema == named.db or (not named.db and one.visible)]
        return own[0].writes_a_day if own else None


def _named(proposals: Sequence[Proposal], taken: Collection[str]) -> list[Proposal]:
    """The proposals with names for their tables, which no other aggregate has."""
    numbers: Counter[str] = Counter()
    named = []
    for one in proposals:
        table = _first_table(one.view.relation)
        words = re.sub(r"[^a-z0-9]+", "_", table.name.lower() if table is not None else "").strip("_")[:25]
        numbers[words] += 1
        while full(f"{words}_{numbers[words]}") in taken:
            numbers[words] += 1
        named.append(replace(one, view=replace(one.view, table=full(f"{words}_{numbers[words]}"))))
    return named


def _first_table(relation: str) -> exp.Table | None:
    """The table that a relation is, or the first that it reads."""
    tree = parsed(f"SELECT 1 FROM {relation}" if relation.startswith('"') else relation, "postgres")  # noqa: S608
    return None if isinstance(tree, str) else next(tree.find_all(exp.Table), None)


def _keeps(kept: Needs, needed: Needs) -> bool:
    """Whether one keeps all that another needs."""
    units = all(
        name in kept.units and (kept.units[name] == unit or (unit is not None and derives(kept.units[name], unit)))
        for name, unit in needed.units.items()
    )
    return units and set(needed.measures) <= set(kept.measures)
