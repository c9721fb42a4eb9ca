"""From a source and its workload to advice. The source is asked for its catalog and for plans, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.core.amount import amount
from superset_ext.errors import NoScratch
from superset_ext.plans.indexes.candidates import Wanted, candidates, could_use
from superset_ext.plans.indexes.catalog import Catalog, read_catalog
from superset_ext.plans.indexes.extend import Search
from superset_ext.plans.indexes.hygiene import Needless, needless, too_young
from superset_ext.plans.indexes.index import Index
from superset_ext.plans.indexes.rules import named_by_rules
from superset_ext.plans.indexes.sandwich import Costs
from superset_ext.plans.indexes.scratch.costs import ScratchCosts, scratch
from superset_ext.plans.indexes.sizes import PAGE, entry_bytes, height_of, size_of
from superset_ext.plans.indexes.uses import Use, table_names, uses_of
from superset_ext.plans.indexes.whatif import Question, Size, WhatIf, hypopg_schema
from superset_ext.plans.indexes.workload import Asked

_BUDGET_SHARE = 0.2  # of the tables' own bytes, where nobody names a budget
_LEAST_BUDGET = 64 * 2**20
_GAIN = 0.01  # of a statement's time, from which it gains
_LEAST_SHARE = 0.01  # of all seconds of the log, which an index has to save
_LEAST_COST = 5_000.0  # by the planner, that a statement has to save: reading 40 MB, which people begin to notice
_LEAST_SECONDS = 600.0  # of the log, that statements have to save which are quick and asked so often
_WAL = 60  # bytes of a record that an index writes beside the entry


@dataclass(frozen=True)
class Proposal:
    """An index that is worth a try.

    Attributes:
        bytes: that it takes when it is new, estimated.
        seconds: that it saves of those that the log has, by the planner's costs and after the proposals before it;
            `None` where nothing could be costed.
        reach: seconds of the log that the statements took which could use it.
        gains: the statements that gain.
        could_use: the fingerprints of those which could use it.
        writes_a_day: rows of its table written a day, each of which it has to follow.
        wal_a_day: bytes that it then adds to the write-ahead log a day, estimated.
    """

    index: Index
    bytes: int
    seconds: float | None
    reach: float
    gains: tuple[Asked, ...]
    writes_a_day: float | None
    wal_a_day: float | None
    could_use: tuple[str, ...] = ()


@dataclass(frozen=True)
class Advice:
    """What to do about a source's indexes.

    Attributes:
        seconds: of the log, that all statements took which can be planned.
        after: the same with all proposals, by the planner's costs; `None` where nothing could be costed.
        notes: what was left out, and why.
        round_trips: to the source for costs; `plans` made there.
    """

    proposals: tuple[Proposal, ...]
    needless: tuple[Needless, ...]
    budget: int
    seconds: float
    after: float | None
    notes: tuple[str, ...]
    round_trips: int = 0
    plans: int = 0


def advise(cursor: Any, asked: Sequence[Asked], budget: int | None = None, wanted: Wanted | None = None) -> Advice:
    """The indexes that would help, and those that could go.

    Args:
        cursor: of a transaction of the source that may only read.
        budget: bytes that new indexes may take in all; by default a fifth of the tables, and 64 MiB at least.

    Raises:
        Exception: whatever the driver raises.
    """
    statements = [item for item in asked if item.statement is not None]
    names = {name for item in statements if item.statement for name in table_names(item.statement.tree)}
    catalog = read_catalog(cursor, names)
    uses = [uses_of(item.statement.tree, catalog) for item in statements if item.statement]
    notes = [*_unread(asked, statements), *too_young(catalog.existing)]
    budget = _budget(catalog) if budget is None else budget
    run = _Run(statements, uses, catalog, wanted)
    schema, reason = hypopg_schema(cursor)
    if schema is not None:
        whatif = WhatIf(cursor, schema, [index.definition for index in run.indexes], run.texts)
        return _Costed(run, whatif).advice(budget, notes)
    try:
        with scratch(cursor, sorted(names)) as server:
            lines = [_costed_on_scratch(reason, server.lacks), *notes]
            return _Costed(run, server.costs(run.indexes, run.texts)).advice(budget, lines)
    except NoScratch as error:
        notes.insert(0, f"not costed: {reason}, and {error}; the indexes are those that rules name, and nobody knows "
                        "what they save")  # fmt: skip
        return _by_rules(statements, uses, catalog, budget, notes)


def _costed_on_scratch(reason: str, lacks: Sequence[str]) -> str:
    line = f"{reason}: costed by a PostgreSQL 18 without rows, with the schema and the statistics of the source"
    return f"{line}; not there: {'; '.join(lacks)}" if lacks else line


def _unread(asked: Sequence[Asked], statements: Sequence[Asked]) -> list[str]:
    rest = [item for item in asked if item.statement is None]
    seconds = sum(item.seconds for item in rest)
    line = f"{len(rest)} of {len(asked)} statements ({seconds:.0f} s) left out: the text cannot be planned"
    return [line] if len(statements) < len(asked) else []


def _budget(catalog: Catalog) -> int:
    return max(int(sum(table.pages for table in catalog.tables) * PAGE * _BUDGET_SHARE), _LEAST_BUDGET)


def _present(catalog: Catalog) -> list[Index]:
    return [index.index for index in catalog.existing if index.valid and index.index is not None]


def _by_rules(
    statements: Sequence[Asked], uses: Sequence[Sequence[Use]], catalog: Catalog, budget: int, notes: Sequence[str]
) -> Advice:
    def size(index: Index) -> int:
        return size_of(index, catalog.of(index.table))

    proposals = []
    for index in named_by_rules(uses, _present(catalog), budget, size):
        gains = [item for item, own in zip(statements, uses, strict=True) if could_use(index, own)]
        proposals.append(_proposal(index, catalog, size(index), None, gains, gains))
    seconds = sum(item.seconds for item in statements)
    return Advice(tuple(proposals), tuple(needless(catalog.existing)), budget, seconds, None, tuple(notes))


def _proposal(
    index: Index, catalog: Catalog, size: int, seconds: float | None, reach: Sequence[Asked], gains: Sequence[Asked]
) -> Proposal:
    table = catalog.of(index.table)
    writes = table.writes_a_day
    wal = None if writes is None else writes * (entry_bytes(index, table) + _WAL)
    took = sum(item.seconds for item in reach)
    could_use = tuple(item.fingerprint for item in reach)
    return Proposal(index, size, seconds, took, tuple(gains), writes, wal, could_use)


class _Run:
    """What is asked of whatever costs.

    Attributes:
        indexes: that could be made.
        texts: the statements, and after them one for each condition of partial indexes.
        conditions: of partial indexes, with their tables.
    """

    def __init__(
        self, statements: Sequence[Asked], uses: Sequence[Sequence[Use]], catalog: Catalog, wanted: Wanted | None
    ) -> None:
        self.statements, self.uses, self.catalog = statements, uses, catalog
        present = _present(catalog)
        self.indexes = [
            index
            for index in candidates(uses, wanted)
            if not any(other == index or other.extends(index) for other in present)
        ]
        self.conditions = sorted({(index.table, index.where) for index in self.indexes if index.where})
        self.texts = [(item.statement.sql, item.statement.parameters) for item in statements if item.statement]
        self.texts += [(f"SELECT FROM {table} WHERE {where}", 0) for table, where in self.conditions]


class _Costed:
    """A run with costs."""

    def __init__(self, run: _Run, whatif: WhatIf | ScratchCosts) -> None:
        self._catalog, self._uses, self._indexes, self._statements = run.catalog, run.uses, run.indexes, run.statements
        self._whatif = whatif
        self._shares = self._ask_shares(run.conditions, len(run.statements))
        whatif.size(range(len(self._indexes)), [self._whole_size(index) for index in self._indexes])
        relevant = [
            sum(1 << number for number, index in enumerate(self._indexes) if could_use(index, own)) for own in run.uses
        ]
        self._costs = Costs(whatif, relevant)
        self._places = range(len(run.statements))
        self._costs.learn((number, 0) for number in self._places)

    def _ask_shares(self, conditions: Sequence[tuple[Any, str | None]], first: int) -> dict[tuple[Any, Any], float]:
        """The share of a table's rows that fulfil a condition, as the planner estimates it."""
        if not conditions:
            return {}
        numbers = tuple(range(first, first + len(conditions)))
        (costs,) = self._whatif.ask([Question((), numbers)])
        shares = {}
        for condition, cost in zip(conditions, costs, strict=True):
            rows = max(self._catalog.of(condition[0]).rows, 1.0)
            shares[condition] = min(cost.rows / rows, 1.0) if cost is not None else 1.0
        return shares

    def _size(self, index: Index) -> int:
        return size_of(index, self._catalog.of(index.table), self._shares.get((index.table, index.where), 1.0))

    def _whole_size(self, index: Index) -> Size:
        table, size = self._catalog.of(index.table), self._size(index)
        share = self._shares.get((index.table, index.where), 1.0)
        height = height_of(size // PAGE, index, table) if index.method == "btree" else None
        return Size(size, table.rows * share, height)

    def advice(self, budget: int, notes: Sequence[str]) -> Advice:
        """The proposals within a budget, in the order of what they bring for their bytes."""
        failed = self._whatif.errors
        weights = [
            item.seconds / (self._costs.cost(number, 0) or 1.0) if number not in failed else 0.0
            for number, item in enumerate(self._statements)
        ]
        search = Search(self._costs, self._indexes, [self._size(index) for index in self._indexes], weights)
        steps = search.steps(search.best(budget))
        worth = [step for step in steps if self._is_worth_it(search, *step)]
        chosen = sum(1 << number for number, _ in worth)
        if len(worth) < len(steps):
            worth = search.steps(chosen)
        proposals = [self._proposed(search, *step) for step in worth]
        self._whatif.forget()
        lines = [f"{amount(len(failed), 'statement')} left out, which the source cannot plan"] if failed else []
        return Advice(
            tuple(proposals), tuple(needless(self._catalog.existing)), budget, search.total(0), search.total(chosen),
            (*notes, *lines), self._whatif.round_trips, self._whatif.plans,
        )  # fmt: skip

    def _is_worth_it(self, search: Search, number: int, before: int) -> bool:
        """Whether somebody would notice an index: the people who wait for a statement, or the source."""
        after = before | 1 << number
        saved = search.total(before) - search.total(after)
        most = max(self._costs.cost(place, before) - self._costs.cost(place, after) for place in self._places)
        return saved >= _LEAST_SHARE * search.total(0) and (most >= _LEAST_COST or saved >= _LEAST_SECONDS)

    def _proposed(self, search: Search, number: int, before: int) -> Proposal:
        """The index of a step, which comes after the set `before`."""
        index, after = self._indexes[number], before | 1 << number
        reach = [place for place, own in enumerate(self._uses) if could_use(index, own)]
        cost: Callable[[int, int], float] = self._costs.cost
        gains = [place for place in reach if cost(place, after) < cost(place, before) * (1 - _GAIN)]
        saved = search.total(before) - search.total(after)
        return _proposal(
            index, self._catalog, self._size(index), saved, [self._statements[place] for place in reach],
            [self._statements[place] for place in gains],
        )  # fmt: skip
