"""EXTRACT(YEAR FROM d) = 2025, date_trunc('month', d) = … and CAST(d AS date) = … become a range.

Indexes, partitions and statistics serve a range of the column, and not a function of it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import bare, conjuncts, selects
from superset_ext.plans.rewrite.facts import Column, Kind
from superset_ext.plans.rewrite.kinds import kind_of
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts

_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_DAYS = {"day": 1, "week": 7}
_TRUNC = (exp.TimestampTrunc, exp.DateTrunc)


def extract_range(statement: Statement) -> Verdict:
    """Conditions on a year, a truncated time or a day become half-open ranges.

    Must hold: the column is a date, or a timestamp without zone, since one with a zone is read in the session's; the
    constant is the first moment of its unit; the condition is one that WHERE joins by AND.
    """
    verdicts = Verdicts("no condition compares a part of a date with a constant")
    for select in selects(statement.tree):
        for condition in conjuncts(select):
            if isinstance(condition, exp.EQ):
                _look(condition, statement, verdicts)
    return verdicts.verdict()


def _look(condition: exp.EQ, statement: Statement, verdicts: Verdicts) -> None:
    """Change a condition, if it is one and may be."""
    sides = bare(condition.left), bare(condition.right)
    for function, constant in (sides, sides[::-1]):
        inner = _inner(function)
        if inner is None:
            continue
        column = kind_of(inner, statement.facts) if isinstance(inner, exp.Column) else None
        bounds = _bounds(function, constant)
        if reason := statement.open.reason or _reason(function, column, bounds):
            verdicts.refuse(reason)
        elif column is not None and bounds is not None:
            condition.replace(_range(inner, column.kind, *bounds))
            verdicts.change(f"{column.name} is compared with a range", _times(column), statement.open.below)
        return


def _inner(function: exp.Expression) -> exp.Expression | None:
    """What a part is taken of, if this takes one."""
    if isinstance(function, exp.Extract):
        return bare(function.expression)
    if isinstance(function, exp.Year | exp.TimestampTrunc | exp.DateTrunc):
        return bare(function.this)
    is_date = isinstance(function, exp.Cast) and function.to.this == exp.DataType.Type.DATE
    return bare(function.this) if is_date and not isinstance(bare(function.this), exp.Literal) else None


def _reason(function: exp.Expression, column: Column | None, bounds: tuple[datetime, datetime] | None) -> str:
    if column is None:
        return "the part is not taken of a column whose type is known"
    if column.kind == Kind.TIMESTAMPTZ:
        return f"{column.name} has a time zone, and its parts depend on the session's"
    if column.kind not in (Kind.DATE, Kind.TIMESTAMP):
        return f"{column.name} is neither a date nor a timestamp"
    if column.kind == Kind.DATE and isinstance(function, _TRUNC):
        return f"date_trunc of the date {column.name} depends on the session's time zone"
    if bounds is None:
        return "the constant is not the first moment of a year, a quarter, a month, a week or a day"
    return ""


def _bounds(function: exp.Expression, constant: exp.Expression) -> tuple[datetime, datetime] | None:
    """The first moment and the one after the last."""
    if isinstance(function, exp.Year) or (isinstance(function, exp.Extract) and function.this.name.lower() == "year"):
        year = int(constant.name) if isinstance(constant, exp.Literal) and constant.is_int else 0
        return (datetime(year, 1, 1), datetime(year + 1, 1, 1)) if 1 <= year <= 9998 else None
    if function.args.get("zone"):
        return None
    unit = "day" if isinstance(function, exp.Cast) else _unit(function)
    start = _moment(constant)
    if start is None or not 1 <= start.year <= 9997 or start != _first(start, unit):
        return None
    return start, _next(start, unit)


def _unit(function: exp.Expression) -> str:
    return function.text("unit").lower() if isinstance(function, _TRUNC) else ""


def _moment(constant: exp.Expression) -> datetime | None:
    """The time that a constant is, if it is written as ISO 8601 without a zone."""
    types = (exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMP)
    if isinstance(constant, exp.Cast) and constant.to.this in types and not constant.to.expressions:
        constant = bare(constant.this)
    if not isinstance(constant, exp.Literal) or not constant.is_string or len(constant.name) not in (10, 19, 26):
        return None
    try:
        moment = datetime.fromisoformat(constant.name)
    except ValueError:
        return None
    return moment if moment.tzinfo is None and constant.name[4] == constant.name[7] == "-" else None


def _first(moment: datetime, unit: str) -> datetime | None:
    """The first moment of the unit that a time lies in."""
    day = datetime(moment.year, moment.month, moment.day)
    if unit in _MONTHS:
        return day.replace(day=1, month=(day.month - 1) // _MONTHS[unit] * _MONTHS[unit] + 1)
    if unit in _DAYS:
        return day - timedelta(days=day.weekday() if unit == "week" else 0)
    return None


def _next(start: datetime, unit: str) -> datetime:
    if unit in _DAYS:
        return start + timedelta(days=_DAYS[unit])
    months = start.month - 1 + _MONTHS[unit]
    return start.replace(year=start.year + months // 12, month=months % 12 + 1)


def _range(inner: exp.Expression, kind: Kind, start: datetime, end: datetime) -> exp.Expression:
    low, high = (_constant(kind, moment) for moment in (start, end))
    return exp.and_(exp.GTE(this=inner.copy(), expression=low), exp.LT(this=inner.copy(), expression=high), wrap=False)


def _constant(kind: Kind, moment: datetime) -> exp.Expression:
    """A constant of the column's own type."""
    value: date = moment.date() if kind == Kind.DATE else moment
    text = value.isoformat() if kind == Kind.DATE else moment.isoformat(" ")
    return exp.cast(exp.Literal.string(text), "date" if kind == Kind.DATE else "timestamp")


def _times(column: Column) -> float:
    return 20.0 if column.leads_index else 1.2
