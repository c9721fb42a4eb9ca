"""Indexes that could help, from what statements ask of tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from superset_ext.plans.indexes.catalog import Table
from superset_ext.plans.indexes.index import Index, Key, TableName
from superset_ext.plans.indexes.uses import Use

MOST_INCLUDED = 5
_MOST_KEYS = 4
_MOST_LEADS = 8  # of a use, from which pairs are made
_MOST_COLUMNS = 12  # that follow a lead
_ORDERED = 0.95  # correlation from which BRIN is worth a look
_LARGE = 10_000  # pages of a table from which it is


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which kinds of indexes are looked for."""

    include: bool = True
    partial: bool = True
    expressions: bool = True
    brin: bool = True


def candidates(statements: Sequence[Sequence[Use]], wanted: Wanted | None = None) -> list[Index]:
    """The indexes that are worth a look, each once, in an order that the statements decide.

    Args:
        statements: what each of them asks of the tables that it mentions.
    """
    kinds, common = wanted or Wanted(), _common(statements)
    made: dict[Index, None] = {}
    for uses in statements:
        for use in uses:
            for index in _of(use, common.get(use.table.name, _Common()), kinds):
                made.setdefault(index)
    return [index for index in made if kinds.expressions or not any(key.is_expression for key in index.keys)]


@dataclass(frozen=True, slots=True)
class _Common:
    """What most statements on a table have.

    Attributes:
        firsts: what all of several compare with a value, as a tenant: it comes first.
        constants: conditions that more than half of them have.
    """

    firsts: tuple[Key, ...] = ()
    constants: tuple[str, ...] = ()


def _common(statements: Sequence[Sequence[Use]]) -> dict[TableName, _Common]:
    by_table: dict[TableName, list[Use]] = {}
    for uses in statements:
        for use in uses:
            by_table.setdefault(use.table.name, []).append(use)
    return {name: _common_of(uses) for name, uses in by_table.items()}


def _common_of(uses: Sequence[Use]) -> _Common:
    if len(uses) < 2:
        return _Common()
    firsts = Counter(key for use in uses for key in set(use.equal))
    constants = Counter(constant for use in uses for constant in use.constants)
    return _Common(
        tuple(key for key, number in firsts.items() if number == len(uses)),
        tuple(constant for constant, number in constants.items() if number * 2 > len(uses)),
    )


def _of(use: Use, common: _Common, kinds: Wanted) -> Iterator[Index]:
    table = use.table
    for keys in dict.fromkeys(_key_lists(use, common)):
        yield Index(table.name, keys)
        if kinds.include:
            yield from _covering(use, keys)
        if kinds.partial and len(keys) <= 2:
            yield from _partial(use, keys, common)
    if kinds.brin and table.pages >= _LARGE:
        yield from _by_ranges(use)


def _key_lists(use: Use, common: _Common) -> Iterator[tuple[Key, ...]]:
    """Keys in the order of an index: what is equal, then a range or an order; and all pairs."""
    first = [key for key in common.firsts if key in use.equal]
    equal = _by_values([key for key in dict.fromkeys(use.equal) if key not in first], use.table)
    for begin in dict.fromkeys((tuple(equal), *((key,) for key in [*use.joined, *equal]), ())):
        for end in ((), *((key,) for key in use.ranges), tuple(use.ordered), tuple(use.grouped)):
            keys = tuple(dict.fromkeys((*first, *begin, *end)))
            if keys:
                yield keys[:_MOST_KEYS]
    yield from _pairs(use)


def _pairs(use: Use) -> Iterator[tuple[Key, ...]]:
    leads = use.leads[:_MOST_LEADS]
    yield from ((lead,) for lead in leads)
    yield from permutations(leads, 2)
    others = [Key(name) for name in sorted(use.columns) if Key(name) not in leads]
    if len(use.columns) <= _MOST_COLUMNS:
        yield from ((lead, other) for lead in leads for other in others)


def _by_values(keys: Sequence[Key], table: Table) -> list[Key]:
    """What has more values goes first: a prefix of the index then serves more statements well."""
    return sorted(keys, key=lambda key: -max(table.columns[name].distinct for name in key.columns or (key.text,)))


def _covering(use: Use, keys: tuple[Key, ...]) -> Iterator[Index]:
    """With the other columns that the statement reads, so that the table is not visited."""
    rest = tuple(sorted(use.columns - {key.text for key in keys}))
    if 0 < len(rest) <= MOST_INCLUDED and len(keys) <= 2:
        yield Index(use.table.name, keys, rest)


def _partial(use: Use, keys: tuple[Key, ...], common: _Common) -> Iterator[Index]:
    for constant in common.constants:
        rest = tuple(key for key in keys if not constant.startswith(f"{key} "))
        if constant in use.constants and rest:
            yield Index(use.table.name, rest, where=constant)


def _by_ranges(use: Use) -> Iterator[Index]:
    """BRIN, where the rows lie in the order of a column that is compared by range or with a value."""
    for key in dict.fromkeys((*use.ranges, *use.equal)):
        if not key.is_expression and abs(use.table.columns[key.text].correlation) >= _ORDERED:
            yield Index(use.table.name, (key,), method="brin")


def is_relevant(index: Index, use: Use) -> bool:
    """Whether a plan of the statement could use the index for this mention of its table."""
    if index.table != use.table.name:
        return False
    if index.where is not None:  # it holds the rows that are asked for, whatever it is ordered by
        return index.where in use.constants
    return index.keys[0] in use.leads or use.columns <= index.columns


def could_use(index: Index, uses: Sequence[Use]) -> bool:
    """Whether a plan of a statement could use an index."""
    return any(is_relevant(index, use) for use in uses)
