"""Which indexes to look at where costs cannot be asked: those that rules name for the statements that took most.

Nothing is estimated here. An index is named for what a statement compares. Its worth is the time of the statements
that could use it, an upper bound, and said to be one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from superset_ext.plans.indexes.index import Index, Key
from superset_ext.plans.indexes.uses import Use

_LEAST_PAGES = 1_000  # of a table, 8 MB; a smaller one is read whole in no time
_SHARE = 0.05  # of the rows, above which a comparison leaves too many for an index


def named_by_rules(
    statements: Sequence[Sequence[Use]], existing: Sequence[Index], budget: int, size: Callable[[Index], int]
) -> list[Index]:
    """The indexes that rules name, those for the first statements first, within a budget of bytes.

    Args:
        statements: what each asks of tables, the most expensive first.
        size: of an index, in bytes.
    """
    chosen: list[Index] = []
    for use in (use for uses in statements for use in uses):
        index = rule_of(use)
        if index is None or any(other == index or other.extends(index) for other in (*existing, *chosen)):
            continue
        further = [*(other for other in chosen if not index.extends(other)), index]
        if sum(map(size, further)) <= budget:
            chosen = further
    return chosen


def rule_of(use: Use) -> Index | None:
    """What is equal, what has most values first, then a range, where few enough rows remain; `None` for no index."""
    if use.table.pages < _LEAST_PAGES:
        return None
    equal = sorted(dict.fromkeys(use.equal), key=lambda key: -_distinct(use, key))
    left = 1.0
    for key in equal:
        left /= _distinct(use, key)
    ranges = [key for key in dict.fromkeys(use.ranges) if key not in equal][:1]
    keys = (*equal[:3], *ranges)
    few = left <= _SHARE or (ranges and not equal and len([key for key in use.ranges if key == ranges[0]]) > 1)
    return Index(use.table.name, keys) if keys and few else None


def _distinct(use: Use, key: Key) -> float:
    return max(use.table.columns[name].distinct for name in key.columns or (key.text,))
