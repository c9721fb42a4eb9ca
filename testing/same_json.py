"""Whether two answers are the same by what JSON says: every value, and the order of every list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from superset_ext.aggregates.shape import Shape
from superset_ext.aggregates.ties import is_total

# What is new in each answer.
NEW = {"cached_dttm", "queried_dttm", "cache_key", "cache_timeout", "from_dttm", "to_dttm", "query", "is_cached"}
EXACTLY, TIES, FLOATS, DIFFERENT, OWN = "exactly", "ties", "floats", "different", "own"


def how_same(stock: Any, ours: Any, shapes: Sequence[Shape]) -> tuple[str, str]:
    """By which rule two answers are the same, and how they differ where they are not.

    Args:
        shapes: of the statements that aggregates have answered.
    """
    stock, ours = _kept(stock), _kept(ours)
    if stock == ours:
        return EXACTLY, ""
    has_ties = any((shape.has_groups or shape.distinct) and not (shape.order and is_total(shape)) for shape in shapes)
    if has_ties and _sorted(stock) == _sorted(ours):
        return TIES, ""
    if _near(stock) == _near(ours) or (has_ties and _sorted(_near(stock)) == _sorted(_near(ours))):
        return FLOATS, ""
    return DIFFERENT, f"{json.dumps(stock)[:700]}\n{json.dumps(ours)[:700]}"


def _kept(answer: Any) -> Any:
    """An answer without what is new in each."""
    if isinstance(answer, dict):
        return {name: _kept(value) for name, value in answer.items() if name not in NEW}
    return [_kept(value) for value in answer] if isinstance(answer, list) else answer


def _sorted(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _sorted(value) for name, value in answer.items()}
    return sorted(map(_sorted, answer), key=json.dumps) if isinstance(answer, list) else answer


def _near(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _near(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [_near(value) for value in answer]
    return float(f"{answer:.9g}") if isinstance(answer, float) else answer
