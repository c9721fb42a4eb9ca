"""Grains of time: which follows exactly from which, and at which moments one begins."""

from __future__ import annotations

from datetime import datetime, time

# What each grain is exactly made of, one step further down. A week is made of days, and of nothing else; no month,
# quarter or year is made of weeks.
_MADE_OF = {
    "minute": "second", "hour": "minute", "day": "hour", "week": "day", "month": "day", "quarter": "month",
    "year": "quarter",
}  # fmt: skip
UNITS = ("second", *_MADE_OF)  # the finest first

# The grain that a part of a date or time looks at, and nothing finer.
PARTS = {
    "year": "year", "quarter": "quarter", "month": "month", "week": "week", "isoyear": "week", "day": "day",
    "dow": "day", "isodow": "day", "doy": "day", "hour": "hour", "minute": "minute",
}  # fmt: skip


def derives(fine: str | None, coarse: str) -> bool:
    """Whether the coarse grain of a moment follows from its fine one; `None` is the moment itself."""
    if fine is None:
        return True
    unit: str | None = coarse
    while unit is not None and unit != fine:
        unit = _MADE_OF.get(unit)
    return unit == fine


def common(one: str | None, other: str | None) -> str | None:
    """The coarsest grain from which both follow; `None` is the moment itself."""
    if one is None or other is None:
        return None
    return next(unit for unit in reversed(UNITS) if derives(unit, one) and derives(unit, other))


def count(unit: str, first: datetime, last: datetime) -> int | None:
    """How many grains lie between two moments, both of their own included; `None` for no grain."""
    ends = [_number(unit, moment) for moment in (first, last)]
    return None if ends[0] is None or ends[1] is None else max(0, ends[1] - ends[0] + 1)


def _number(unit: str, moment: datetime) -> int | None:
    """The number of the grain in which a moment lies; those of one unit follow one another."""
    day = moment.toordinal()
    match unit:
        case "year":
            return moment.year
        case "quarter":
            return moment.year * 4 + (moment.month - 1) // 3
        case "month":
            return moment.year * 12 + moment.month
        case "week":
            return (day - 1) // 7
        case "day":
            return day
    seconds = ((day * 24 + moment.hour) * 60 + moment.minute) * 60 + moment.second
    size = {"hour": 3600, "minute": 60, "second": 1}.get(unit)
    return None if size is None else seconds // size


def begun(moment: datetime) -> str | None:
    """The coarsest grain that begins at a moment; `None` within a second."""
    return next((unit for unit in reversed(UNITS) if _begins(moment, unit)), None)


def _begins(moment: datetime, unit: str) -> bool:
    day = moment.time() == time()
    match unit:
        case "year":
            return day and (moment.month, moment.day) == (1, 1)
        case "quarter":
            return day and moment.month % 3 == 1 and moment.day == 1
        case "month":
            return day and moment.day == 1
        case "week":
            return day and moment.weekday() == 0
        case "day":
            return day
        case "hour":
            return not (moment.minute or moment.second or moment.microsecond)
        case "minute":
            return not (moment.second or moment.microsecond)
        case _:
            return not moment.microsecond
