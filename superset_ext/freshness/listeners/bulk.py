"""Bulk statements of the ORM, `query.update()` and `query.delete()`: whose rows they change.

SQLAlchemy says afterwards that there was one, and how many rows it changed, but not which. So its rows are looked up
before it runs, under its own condition: a statement that changes no row changed nothing, and one that changes some
concerns their datasets alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

UNKNOWN = 0  # stands in the place of an id, for all of the kind
_ROWS = "superset_ext_rows"


def look_up(bulk: Any, owner_of: Callable[[Any], str | None]) -> None:
    """Look up whose rows a bulk statement is about to change.

    Args:
        bulk: SQLAlchemy's state of the statement.
        owner_of: returns the attribute with the owner's id; `None` where the statement is of no interest.
    """
    if (owner := owner_of(bulk)) is None:
        return
    column = getattr(bulk.mapper.class_, owner)
    rows = {number for (number,) in bulk.query.with_entities(column).distinct() if number is not None}
    setattr(bulk, _ROWS, rows | ({UNKNOWN} if _moves(bulk, owner) else set()))


def rows_of(bulk: Any) -> set[int]:
    """The ids of the owners whose rows a bulk statement has changed, after it ran; `UNKNOWN` if it may be any."""
    if bulk.result.rowcount == 0:
        return set()
    return getattr(bulk, _ROWS, None) or {UNKNOWN}


def _moves(bulk: Any, owner: str) -> bool:
    """Whether rows get another owner, which the rows do not name before it runs."""
    values = getattr(bulk, "values", None) or {}
    return owner in {getattr(attribute, "key", attribute) for attribute in dict(values)}
