"""What an expression sees of a time column: nothing finer than a grain.

Such an expression is the same over the first moment of the grain, so that a key of a finer or the same grain may stand
for the column. What depends on the session's time zone is none of them: zones cut days elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from superset_ext.aggregates.grain import PARTS, UNITS, begun
from superset_ext.plans.rewrite.facts import Column, Kind

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?")
_FORMATS = {"%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"}
_FIXED = {"UTC", "ETC/UTC", "GMT", "ETC/GMT", "UCT", "ZULU", "ETC/UCT", "ETC/ZULU"}
_TYPES = {exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPNTZ}


@dataclass(frozen=True)
class Seen:
    """A column of which an expression sees this grain at most."""

    name: str
    unit: str


def seen(node: exp.Expression, columns: Mapping[str, Column], engine: str, zone: str) -> Seen | None:
    """What an expression sees of the one time column that it is of; `None` where that is not sure.

    Args:
        columns: of the relation.
        zone: the session's time zone; only where it has one offset for ever do limits with a time zone count.
    """
    match node:
        case exp.TimestampTrunc() | exp.DateTrunc() if node.args.get("zone") is None:
            name, unit = node.this, node.text("unit").lower()
            unit = unit if unit in UNITS else ""
        case exp.Extract():
            name, unit = node.expression, PARTS.get(node.name.lower(), "")
        case exp.Year() | exp.Quarter() | exp.Month() | exp.Week() | exp.Day():
            name, unit = node.this, PARTS[node.key]
        case exp.Cast() if node.to.this == exp.DataType.Type.DATE and not isinstance(node, exp.TryCast):
            name, unit = node.this, "day"
        case exp.GTE() | exp.LT():
            name, unit = node.left, _limit(node.right, zone) or ""
        case exp.GT() | exp.LTE():
            return None  # they keep a part of the grain's rows
        case _:
            return None
    return Seen(name.name, unit) if unit and is_cut(name, columns, engine) else None


def is_cut(node: object, columns: Mapping[str, Column], engine: str) -> bool:
    """Whether a node is a column that may be kept by a grain, the same for every session.

    PostgreSQL cuts a date as a moment in the session's zone, so that a date is kept as it is there.
    """
    if not isinstance(node, exp.Column) or (known := columns.get(node.name)) is None:
        return False
    return known.kind == Kind.TIMESTAMP or (known.kind == Kind.DATE and engine == "duckdb")


def _limit(node: exp.Expression, zone: str) -> str | None:
    """The grain that begins at a constant moment."""
    match node:
        case exp.Literal() if node.is_string:
            return _begun(node.name)
        case exp.Cast() if node.to.this in _TYPES and not node.to.expressions:
            return _begun(node.name) if isinstance(node.this, exp.Literal) and node.this.is_string else None
        case exp.StrToDate() | exp.StrToTime() if isinstance(node.this, exp.Literal):
            fixed = isinstance(node, exp.StrToDate) or zone.upper() in _FIXED
            return _begun(node.name) if fixed and node.text("format") in _FORMATS else None
    return None


def moment(node: exp.Expression) -> datetime | None:
    """A constant moment as it is written, in whichever zone; `None` for anything else, and near the calendar's ends."""
    match node:
        case exp.Cast() if node.to.this in _TYPES and not node.to.expressions:
            node = node.this
        case exp.StrToDate() | exp.StrToTime() if node.text("format") in _FORMATS:
            node = node.this
    at = _read(node.name) if isinstance(node, exp.Literal) and node.is_string else None
    return at if at is not None and 1000 < at.year < 9000 else None


def _begun(text: str) -> str | None:
    at = _read(text)
    return None if at is None else begun(at)


def _read(text: str) -> datetime | None:
    parts = _ISO.fullmatch(text)
    if parts is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
    try:
        return datetime(year, month, day, hour, minute, second, int((parts[7] or "0").ljust(6, "0")))
    except ValueError:
        return None
