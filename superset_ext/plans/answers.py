"""When two answers to a statement are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

MAX_ROWS = 100_000  # that are compared
SAME_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"  # for all statements of a transaction


def same_rows(first: Sequence[Sequence[Any]], second: Sequence[Sequence[Any]]) -> bool:
    """Whether two answers have the same rows, in any order. 1.0 is not 1.00, and −0 is not 0."""
    return Counter(map(_shown, first)) == Counter(map(_shown, second))


def _shown(row: Sequence[Any]) -> str:
    return repr([(type(value).__name__, str(value)) for value in row])
