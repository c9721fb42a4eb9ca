"""How large an index would be on disk, from the statistics of its columns.

A B-tree is packed as CREATE INDEX does it: leaves are filled to nine tenths and hold one high key; since PostgreSQL 13
equal values share an entry, a list of row numbers of six bytes, of at most a tenth of a page. hypopg does not know
that, and its sizes are up to four times too large.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from superset_ext.plans.indexes.catalog import Column, Table
from superset_ext.plans.indexes.index import Index, Key

PAGE = 8192
_FILLED = 7333  # bytes of a leaf beyond which no entry is begun: a page without its ends and a tenth
_LISTED = 808  # bytes of the longest entry with a list of rows
_ENTRY, _POINTER, _ROW = 8, 4, 6  # bytes of an entry's header, of the pointer to it, of a row's number in a list
_BRIN_RANGE = 128  # pages that one entry of BRIN stands for
_NUMBER = 16.0  # bytes of an entry with a number
_MOST_ROWS = 60.0  # a value, on average, up to which their spread is reckoned with


def size_of(index: Index, table: Table, share: float = 1.0) -> int:
    """Bytes that the index takes when it is new.

    Args:
        share: of the table's rows that a partial index has.
    """
    columns = [_column(key, table) for key in index.keys]
    if index.method == "brin":
        return (2 + math.ceil(table.pages / _BRIN_RANGE * (_ENTRY + 2 * _width(columns)) / PAGE)) * PAGE
    stored = [*columns, *(table.columns[name] for name in index.include)]
    rows = max(table.rows * share, 1.0)
    if index.include or not all(column.dedups for column in columns):
        return _pages(rows / _a_leaf(_entry(stored), _entry(columns)), _entry(columns)) * PAGE
    return _deduplicated(rows, distinct_of(columns, rows), _entry(columns)) * PAGE


def height_of(pages: int, index: Index | None = None, table: Table | None = None) -> int:
    """Levels above the leaves of a B-tree of so many pages; its keys are taken for numbers where it is not known."""
    known = index is not None and table is not None
    high_key = _entry([_column(key, table) for key in index.keys]) if known else _NUMBER  # type: ignore[arg-type,union-attr]
    return len(list(_levels(max(pages - 1, 1), high_key))) - 1


def entry_bytes(index: Index, table: Table) -> float:
    """Bytes that one more row adds to the index."""
    columns = [_column(key, table) for key in index.keys]
    return _entry([*columns, *(table.columns[name] for name in index.include)]) + _POINTER


def distinct_of(columns: Sequence[Column], rows: float) -> float:
    """How many different values a row of columns has, as if they were independent of one another."""
    most = math.prod(min(column.distinct, 1e9) for column in columns)
    seen = most if len(columns) == 1 else most * -math.expm1(-rows / most)
    return min(max(seen, 1.0), rows)


def _column(key: Key, table: Table) -> Column:
    """What an expression is like is known only once it is built: as many values as its columns, of eight bytes."""
    if not key.is_expression:
        return table.columns[key.text]
    distinct = distinct_of([table.columns[name] for name in key.columns], table.rows)
    return Column("", width=8.0, length=8, align=8, distinct=distinct)


def _width(columns: Sequence[Column]) -> float:
    """Bytes of values that stand one after another, aligned as their types want it."""
    at = 0.0
    for column in columns:
        if column.length > 0:
            at = math.ceil(at / column.align) * column.align
        at += column.width * (1.0 - column.nulls)
    return at


def _entry(columns: Sequence[Column]) -> float:
    """Bytes of an entry of its own, without the pointer to it."""
    return _aligned(_ENTRY + _width(columns), any(column.length < 0 for column in columns))


def _aligned(size: float, varies: bool = False) -> float:
    """Bytes that are taken: whole eights. Of values of many lengths, half are taken to be near their average."""
    whole = math.ceil(size / 8) * 8.0
    return (whole + size + 3.5) / 2 if varies else whole


def _a_leaf(size: float, high_key: float) -> int:
    """How many entries of a size a leaf has: one is begun as long as nine tenths are not filled."""
    return math.floor((_FILLED - high_key - _POINTER) / (size + _POINTER)) + 1


def _pages(leaves: float, high_key: float) -> int:
    """Pages of a tree with so many leaves."""
    return 1 + sum(_levels(math.ceil(leaves), high_key))


def _levels(leaves: int, high_key: float) -> Iterator[int]:
    """Pages of each level. Inner pages are filled to seven tenths."""
    a_page = max(2, math.floor((PAGE - 40) * 0.7 / (high_key + _POINTER)))
    pages = leaves
    yield pages
    while pages > 1:
        pages = math.ceil(pages / a_page)
        yield pages


def _deduplicated(rows: float, distinct: float, key: float) -> int:
    """Pages of a tree in which equal values share entries."""
    most = math.floor((_LISTED - key) / _ROW)
    # Where a leaf ends within the rows of one value, its high key has the number of a row too.
    high_key = key + 8 * (rows / distinct > most)
    leaves = 0.0
    for share, number in _spread(rows / distinct):
        full, rest = divmod(number, most)
        for times, length in ((full, most), (float(rest > 0), rest)):
            size = key if length <= 1 else _aligned(key + _ROW * length)
            leaves += share * distinct * times / _a_leaf(size, high_key)
    return _pages(leaves, key)


def _spread(mean: float) -> Iterator[tuple[float, float]]:
    """How many rows a value has, with the share of values that have so many: by chance, but at least one.

    A mean of one leaves no room for chance, and of many it hardly matters.
    """
    if mean > _MOST_ROWS or mean < 1.05:
        yield 1.0, mean if mean > _MOST_ROWS else 1.0
        return
    rate = _rate(mean)
    share = rate * math.exp(-rate) / -math.expm1(-rate)
    for number in range(1, int(rate + 8 * math.sqrt(rate) + 8)):
        yield share, float(number)
        share *= rate / (number + 1)


def _rate(mean: float) -> float:
    """The rate of a Poisson distribution that has this mean where zero is left out."""
    rate = mean
    for _ in range(50):
        rate = mean * -math.expm1(-rate)
    return rate
