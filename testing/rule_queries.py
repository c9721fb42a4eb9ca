"""Random queries that one rewrite rule is about, as charts and virtual datasets ask them."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta

from testing.rewrites import CONDITIONS, Query

COLUMNS = ("k", "a", "n", "d", "p", "b")  # of which equal values are the same value
_KEYS = (*(f"v.{column}" for column in COLUMNS), "v.c", "DATE_TRUNC('month', v.ts)", "v.k + 1")
_TAME_KEYS = 6
_MEASURES = (
    "COUNT(*)", "COUNT(v.k)", "COUNT(DISTINCT v.k)", "SUM(v.a)", "SUM(v.p)", "AVG(v.k)", "AVG(v.p)", "MIN(v.d)",
    "MAX(v.n)", "BOOL_OR(v.b)", "SUM(CASE WHEN v.b THEN v.k ELSE 0 END)",
)  # fmt: skip
_AGGREGATES = ("COUNT(*)", "COUNT(u.a)", "SUM(u.a)", "SUM(u.p)", "MAX(u.n)", "MIN(u.d)", "MAX(u.ts)", "COUNT(u.n)")
_UNITS = {"year": 12, "quarter": 3, "month": 1}
Some = random.Random


def _any(some: Some, alias: str = "v") -> str:
    """A condition of any kind."""
    return f"({some.choice(CONDITIONS)})".replace("v.", f"{alias}.")


def _where(some: Some, *conditions: str, share: float = 0.4) -> str:
    """WHERE of these conditions and, by chance, another one, in any order."""
    parts = [*conditions, *([_any(some)] if some.random() < share else [])]
    some.shuffle(parts)
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def _outside(some: Some, source: str, where: str) -> Query:
    """A chart's select over a source that is called v."""
    keys = some.sample(_KEYS[: _TAME_KEYS if some.random() < 0.8 else len(_KEYS)], some.choice((0, 1, 1, 2)))
    measures = some.sample(_MEASURES, some.choice((1, 1, 2)))
    rows = some.random() < 0.15
    outputs = some.sample([f"v.{column}" for column in COLUMNS], 3) if rows else [*keys, *measures]
    group = f" GROUP BY {', '.join(keys)}" if keys and not rows else ""
    having = some.choice((" HAVING COUNT(*) > 1", " HAVING MAX(v.k) IS NOT NULL")) if some.random() < 0.15 else ""
    ordered = tuple(some.sample(range(len(outputs)), some.randint(1, len(outputs))))
    order = ", ".join(f"{place + 1}{some.choice(('', ' DESC'))}" for place in ordered)
    limit = some.choice(("", "", "", "", " LIMIT 1", " LIMIT 100"))
    names = ", ".join(f"{output} AS o{place}" for place, output in enumerate(outputs))
    distinct = "DISTINCT " if some.random() < 0.1 else ""
    group += having if group else ""
    return Query(f"SELECT {distinct}{names} FROM {source}{where}{group} ORDER BY {order}{limit}", ordered)


def _dataset(some: Some, where: str, order: bool = False) -> tuple[str, str]:
    """What stands before SELECT, and a source called v: a virtual dataset with this WHERE, sorted or not."""
    terms = some.sample(["v.ts", "v.n DESC", "v.a", "v.p", "v.f", "v.d", "v.k NULLS FIRST"], some.choice((1, 2)))
    sort = f" ORDER BY {', '.join(terms)}" if order or some.random() < 0.2 else ""
    inner = f"SELECT {some.choice(('*', 'v.*'))} FROM t AS v{where}{sort}"
    match some.randrange(5):
        case 0:
            return f"WITH w AS ({inner}) ", "w AS v"
        case 1:
            return "", f"(SELECT * FROM ({inner}) AS x{some.choice(('', ' ORDER BY n', ' WHERE k > 0'))}) AS v"
        case 2:
            return "", f"({inner}) AS v {some.choice(('JOIN', 'LEFT JOIN'))} u ON u.k = v.k"
        case _:
            return "", f"({inner}) AS v"


def _chart(some: Some, condition: str | None, order: bool = False) -> Query:
    """A chart's query with a condition outside of its dataset, in it, or without a dataset."""
    given = [] if condition is None else [condition]
    if not order and some.random() < 0.4:
        return _outside(some, "t AS v", _where(some, *given))
    inside = some.random() < 0.5
    start, source = _dataset(some, _where(some, *(given if inside else [])), order)
    query = _outside(some, source, _where(some, *([] if inside else given)))
    return Query(start + query.sql, query.ordered)


def _flipped(some: Some, left: str, right: str) -> str:
    return f"{left} = {right}" if some.random() < 0.8 else f"{right} = {left}"


def _day(some: Some, unit: str) -> date:
    """The first day of a unit near the turns of the years."""
    day = date(2023, 12, 25) + timedelta(days=some.choice((some.randrange(380), *range(5, 9), *range(370, 375))))
    if unit in _UNITS:
        return day.replace(day=1, month=(day.month - 1) // _UNITS[unit] * _UNITS[unit] + 1)
    return day - timedelta(days=day.weekday()) if unit == "week" else day


def _range(some: Some) -> str:
    """A condition on a part of a time, on a bound of the data now and then."""
    column = some.choice(("d", "ts"))
    if some.random() < 0.35:
        return _flipped(some, f"EXTRACT(YEAR FROM v.{column})", str(some.choice((2023, 2024, 2024, 2025))))
    if some.random() < 0.35:
        day = _day(some, "day")
        return _flipped(some, f"CAST(v.{column} AS DATE)", some.choice(("", "DATE ")) + f"'{day}'")
    unit = some.choice(("year", "quarter", "month", "week", "day"))
    moment = f"{_day(some, unit)}{some.choice(('', ' 00:00:00', ' 00:00:00.000000'))}"
    return _flipped(some, f"DATE_TRUNC('{unit}', v.ts)", some.choice(("", "TIMESTAMP ")) + f"'{moment}'")


def _integer(some: Some) -> str:
    return some.choice(("0", "1", "2", "-3", "7", "12345", "4000000000", str(some.randint(-9, 9))))


def _almost(some: Some, number: str, others: tuple[str, ...]) -> str:
    """A constant, or now and then one that a rule must leave alone."""
    return some.choice(others) if some.random() < 0.05 else number


def _written(some: Some) -> str:
    return _almost(some, _integer(some), ("007", "+7", " 7", "7.0", ""))


def _text(some: Some) -> str:
    """An integer column compared as text."""
    cast = f"CAST(v.{some.choice('ka')} AS {some.choice(('TEXT', 'VARCHAR'))})"
    if some.random() < 0.3:
        return f"{cast} IN ({', '.join(repr(_written(some)) for _ in range(some.choice((1, 2, 4))))})"
    return _flipped(some, cast, repr(_written(some)))


def _decimal(some: Some) -> str:
    """An integer column compared with decimals."""
    number = _almost(some, f"{_integer(some)}.{some.choice(('0', '00', '000'))}", ("1.5", "-3.25", "0.1"))
    column = some.choice(("v.k", "v.a"))
    if some.random() < 0.3:
        return f"{column} IN ({number}, {', '.join(_integer(some) for _ in range(some.choice((1, 2))))})"
    return f"{column} {some.choice(('=', '=', '<', '<=', '>', '>='))} {number}"


def _moment(some: Some) -> str:
    """A filter of time as Superset writes it, near the hours that summer time skips and repeats too."""
    day = some.choice(("2024-03-10", "2024-11-03", "2023-12-31", "2024-02-29", f"{_day(some, 'day')}", "0001-01-01"))
    clock = some.choice(("00:00:00.000000", "02:30:00.000000", "01:59:59.999999", "03:00:00.000000"))
    form = "'YYYY-MM-DD HH24:MI:SS.US'" if some.random() > 0.03 else "'YYYY-MM-DD HH24:MI:SS.MS'"
    moment = f"TO_TIMESTAMP('{day} {clock}', {form})"
    moment = moment if some.random() < 0.7 else f"TO_DATE('{day}', 'YYYY-MM-DD')"
    column, sign = some.choice(("v.ts", "v.ts", "v.z", "v.d")), some.choice((">=", "<", "<=", ">", "=", "<>"))
    texts = (f"{column} {sign} {moment}", f"{moment} {sign} {column}", f"{column} BETWEEN {moment} AND {moment}",
             f"CASE WHEN {column} {sign} ({moment}) THEN v.b ELSE v.k > 0 END")  # fmt: skip
    return some.choice((texts[0], *texts))


def _ordered(some: Some) -> Query:
    return _chart(some, _any(some) if some.random() < 0.3 else None, order=True)


def _either(some: Some) -> Query:
    """OR over both sides of a join."""
    one, two = _any(some), _any(some, "u")
    key = some.choice(COLUMNS)
    where = _where(some, f"({some.choice((f'{one} OR {two}', f'{two} OR {one}'))})")
    join = f"t AS v {some.choice(('JOIN', 'LEFT JOIN', 'RIGHT JOIN'))} u ON u.{key} = v.{key}"
    column, other = some.sample(COLUMNS, 2)
    more = some.choice(("", " HAVING COUNT(*) > 1", " ORDER BY o0", f" ORDER BY v.{column}, 2"))
    forms = (
        f"SELECT v.{column} AS o0, u.{other} AS o1, v.ts AS o2 FROM {join}{where}",
        f"SELECT COUNT(*) AS o0, SUM(u.a) AS o1, MAX(v.{other if other != 'b' else 'k'}) AS o2 FROM {join}{where}",
        f"SELECT v.{column} AS o0, COUNT(*) AS o1, SUM(u.p) AS o2 FROM {join}{where} GROUP BY v.{column}{more}",
        f"SELECT DISTINCT u.{column} AS o0, v.{other} AS o1 FROM {join}{where}",
    )
    return Query(some.choice(forms), ())


def _compared(some: Some, column: str) -> str:
    """A comparison of a column with constants of its type."""
    values = {
        "k": ("1", "2", "-3"), "a": ("1", "12345"), "n": ("'a'", "'A'", "'5'"), "d": ("'2024-12-31'", "'2024-02-29'"),
        "p": ("1.0", "2"), "b": ("true", "false"),
    }  # fmt: skip
    if some.random() < 0.3:
        return f"{column} IN ({', '.join(values[column[2:]])})"
    return f"{column} {some.choice(('=', '<>', '<', '>='))} {some.choice(values[column[2:]])}"


def _materialized(some: Some) -> Query:
    """A filter on a common table expression that is a barrier."""
    column, other = some.sample(COLUMNS, 2)
    columns = some.choice(("*", "v.*", ", ".join(f"v.{name}" for name in (*COLUMNS, "ts"))))
    start = f"WITH w AS MATERIALIZED (SELECT {columns} FROM t AS v{_where(some)}) "
    join = some.choice(("", "", f" JOIN u ON u.{other} = v.{other}", f" LEFT JOIN u ON u.{other} = v.{other}"))
    query = _outside(some, f"w AS v{join}", _where(some, _compared(some, f"v.{column}")))
    return Query(start + query.sql, query.ordered)


def _correlated(some: Some) -> Query:
    """Aggregates of a table for each row of another one."""

    def scalar() -> str:
        key = some.choice(COLUMNS)
        parts = [some.choice((f"u.{key} = v.{key}", f"v.{key} = u.{key}"))]
        parts += [f"u.{other} = v.{other}" for other in some.sample(COLUMNS, 1) if some.random() < 0.3]
        parts += [_any(some, "u")] if some.random() < 0.3 else []
        some.shuffle(parts)
        return f"(SELECT {some.choice(_AGGREGATES)} FROM u WHERE {' AND '.join(parts)})"

    outputs = some.sample([f"v.{column}" for column in (*COLUMNS, "ts")], 2)
    source = some.choice(("t AS v", "t AS v", "(SELECT * FROM t WHERE k > 0) AS v"))
    if some.random() < 0.3:
        condition = f"{scalar()} {some.choice(('IS NULL', 'IS NOT NULL'))}"
    else:
        condition = ""
        outputs += [scalar() for _ in range(some.choice((1, 1, 2)))]
    names = ", ".join(f"{output} AS o{place}" for place, output in enumerate(outputs))
    return Query(f"SELECT {names} FROM {source}{_where(some, *([condition] if condition else []))}", ())


def _not_in(some: Some) -> Query:
    """NOT IN over columns without NULL."""
    column = some.choice((*COLUMNS, "ts"))
    alias, test = some.choice((("u", "u"), ("x", "u AS x"))), some.choice((f"v.{column}", f"v.{column}"))
    inner = f" WHERE {_any(some, alias[0])}" if some.random() < 0.5 else ""
    text = f"({test} NOT IN (SELECT {alias[0]}.{column} FROM {alias[1]}{inner}))"
    text = text if some.random() < 0.7 else f"NOT ({test} IN (SELECT {alias[0]}.{column} FROM {alias[1]}{inner}))"
    return _chart(some, text)


def _counted(some: Some) -> Query:
    """COUNT(DISTINCT), of all rows or by groups."""
    column = some.choice((*COLUMNS, "ts"))
    keys = some.sample([f"v.{name}" for name in COLUMNS if name != column], some.choice((0, 1, 1, 2)))
    count = f"COUNT(DISTINCT v.{column})"
    join = some.choice(("", "", " JOIN u ON u.k = v.k", " LEFT JOIN u ON u.n = v.n"))
    source = some.choice(("t AS v", "t AS v", "(SELECT * FROM t WHERE k > 0) AS v")) + join
    outputs = [*keys, count]
    names = ", ".join(f"{output} AS o{place}" for place, output in enumerate(outputs))
    group = f" GROUP BY {', '.join(keys)}" if keys else ""
    having = some.choice(("", "", f" HAVING {count} > 1")) if keys else ""
    ordered = tuple(range(len(keys), -1, -1)) if some.random() < 0.5 else ()
    order = f" ORDER BY {', '.join(str(place + 1) for place in ordered)}" if ordered else ""
    limit = some.choice(("", " LIMIT 3", " LIMIT 100")) if ordered else ""
    return Query(f"SELECT {names} FROM {source}{_where(some)}{group}{having}{order}{limit}", ordered)


QUERIES: dict[str, Callable[[Some], Query]] = {
    "unneeded_order": _ordered,
    "extract_range": lambda some: _chart(some, _range(some)),
    "moment_as_constant": lambda some: _chart(some, _moment(some)),
    "integer_as_text": lambda some: _chart(some, _text(some)),
    "integer_as_decimal": lambda some: _chart(some, _decimal(some)),
    "or_across_join": _either,
    "filter_into_cte": _materialized,
    "correlated_aggregate": _correlated,
    "not_in": _not_in,
    "count_distinct": _counted,
}
