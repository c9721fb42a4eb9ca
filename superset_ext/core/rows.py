"""Rows of a PEP 249 cursor by column name, and values that fit into columns."""

from __future__ import annotations

from typing import Any

_MOST = 2**31  # of PostgreSQL's type integer


def all_rows(cursor: Any) -> list[dict[str, Any]]:
    """The rows that the last statement has left, by column name."""
    names = _names(cursor)
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def next_row(cursor: Any) -> dict[str, Any] | None:
    """The next row by column name, or `None` if there is none."""
    row = cursor.fetchone()
    return None if row is None else dict(zip(_names(cursor), row, strict=True))


def fitting_id(number: int | None) -> int | None:
    """An id, or `None` if no column of ids can hold it: a browser may send any number."""
    return number if number is not None and 0 < number < _MOST else None


def _names(cursor: Any) -> list[str]:
    return [column[0] for column in cursor.description]
