"""Ids that fit into columns."""

from __future__ import annotations

_MOST = 2**31  # of PostgreSQL's type integer


def fitting_id(number: int | None) -> int | None:
    """An id, or `None` if no column of ids can hold it: a browser may send any number."""
    return number if number is not None and 0 < number < _MOST else None
