"""Random tables, and queries on them as charts make them, with what may be a trap."""

from __future__ import annotations

import random
from collections.abc import Sequence

from superset_ext.aggregates.grain import UNITS

_TYPES = {
    "k": "int", "a": "bigint", "s": "smallint", "d": "date", "ts": "timestamp", "u": "timestamp", "z": "timestamptz",
    "n": "text", "c": "text", "f": "float8", "m": "numeric", "p": "numeric(8, 2)", "b": "boolean", "r": "real",
    "x": "time",
}  # fmt: skip
_MOMENTS = [
    "'2024-01-01'", "'2024-12-31 23:59:59.999999'", "'2025-01-01'", "'2024-02-29 12:00:00'", "'2024-03-10 02:30:00'",
    "'2024-11-03 01:30:00'", "'2024-12-30'", "'2023-12-31 23:00:00'", "'2024-03-31 23:59:00'", "'2024-04-01'",
    "'2024-09-01 00:00:01'", "'infinity'", "'-infinity'", "'1999-12-31 10:11:12'", "'2020-12-28'", "'2021-01-03'",
]  # fmt: skip
_VALUES = {
    "k": ["0", "1", "2", "-3", "7", "2147483647"], "a": ["1", "2", "-5", "4000000000", "9000000000000000000"],
    "s": ["0", "1", "-1", "32767"],
    "d": ["'2024-01-01'", "'2024-12-31'", "'2024-02-29'", "'2023-12-31'", "'2024-12-30'", "'2024-04-01'", "'infinity'"],
    "ts": _MOMENTS, "u": _MOMENTS[:6],
    "z": ["'2024-01-01 00:00:00+00'", "'2024-12-31 23:30:00+00'", "'2024-03-10 07:00:00+00'"],
    "n": ["'a'", "'A'", "'a '", "''", "'é'", "'é'", "'ß'", "'SS'", "'İ'"],
    "c": ["'a'", "'A'", "'b'", "'É'", "'é'"],
    "f": ["0.1", "-0.0", "0.0", "1e16", "3.3", "'NaN'", "0.7"],
    "m": ["1.0", "1.00", "2", "0.5", "-0.25", "100"], "p": ["1.0", "1.25", "2", "-1.25"], "b": ["true", "false"],
    "r": ["0.1", "1", "16777216"],
    "x": ["'00:00:00'", "'12:30:00'", "'23:59:59.999999'", "'00:00:00.000001'", "'24:00:00'"],
}  # fmt: skip
_HUGE = {"m": ["'NaN'", "12345678901234567890123456789012345678.123456789", "1e-20", "'Infinity'", "'-Infinity'"]}
_KEYS = [
    "n", "k", "b", "d", "ts", "p", "s", "z", "c", "m", "f", "LOWER(n)", "k + 1", "CASE WHEN k > 0 THEN n ELSE 'x' END",
    "UPPER(c)", "CAST(m AS TEXT)", "COALESCE(n, 'none')", "k % 3", "CAST(z AS DATE)", "DATE_TRUNC('day', z)",
    "DATE_TRUNC('month', d)", "EXTRACT(YEAR FROM d)", "CAST(ts AS DATE)", "CAST(u AS DATE)", "ABS(p)",
    "m > 1", "c = 'a'", "f IS NULL", "x", "EXTRACT(HOUR FROM x)", "CAST(x AS TEXT)", "-f",
    "CAST(f AS DOUBLE PRECISION) * k", "m + k", "r * 2",
    *(f"DATE_TRUNC('{unit}', {name})" for unit in UNITS for name in ("ts", "ts", "u")),
    *(f"EXTRACT({part} FROM ts)" for part in
      ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "DOY", "ISODOW", "ISOYEAR", "HOUR", "MINUTE", "EPOCH")),
]  # fmt: skip
_MEASURES = [
    "COUNT(*)", "COUNT(1)", "COUNT(k)", "COUNT(n)", "COUNT(c)", "COUNT(f)", "SUM(k)", "SUM(a)", "SUM(s)", "SUM(p)",
    "SUM(m)", "SUM(1)", "AVG(k)", "AVG(a)", "AVG(s)", "AVG(p)", "AVG(m)", "MIN(k)", "MAX(ts)", "MIN(d)", "MAX(n)",
    "MIN(z)", "MAX(p)", "MIN(m)", "MAX(f)", "MIN(c)", "SUM(f)", "AVG(f)", "SUM(r)", "AVG(r)", "MIN(s)", "MAX(a)",
    "COUNT(DISTINCT k)", "COUNT(DISTINCT n)", "COUNT(DISTINCT c)", "COUNT(DISTINCT m)", "SUM(DISTINCT k)",
    "AVG(DISTINCT k)", "COUNT(DISTINCT DATE_TRUNC('month', ts))", "MAX(DATE_TRUNC('month', ts))", "MIN(LOWER(n))",
    "SUM(CASE WHEN b THEN k ELSE 0 END)", "SUM(CASE WHEN b THEN 1 ELSE 0 END)", "SUM(CASE WHEN k > 1 THEN p END)",
    "COUNT(CASE WHEN b THEN k END)", "AVG(CASE WHEN b THEN k END)", "AVG(CASE WHEN b THEN 1 ELSE 0 END)",
    "SUM(CASE WHEN DATE_TRUNC('month', ts) = '2024-12-01' THEN a ELSE -2 END)", "SUM(k * s)", "COUNT(LOWER(n))",
    "SUM(CASE WHEN n = 'a' THEN k WHEN n = 'A' THEN s ELSE 3 END)", "SUM(CASE WHEN m > 1 THEN p ELSE 0 END)",
    "SUM(p) / NULLIF(COUNT(*), 0)", "SUM(k) * 1.0 / NULLIF(SUM(s), 0)", "MAX(k) - MIN(k)", "COUNT(*) + 1",
    "COUNT(NULLIF(n, 'a'))", "COALESCE(SUM(k), 0)", "ROUND(AVG(p), 1)", "MAX(CAST(k AS BIGINT))",
    "COUNT(NULLIF(CAST(m AS TEXT), '1.0'))", "MIN(x)", "MAX(x)", "COUNT(x)", "COUNT(DISTINCT x)",
    "SUM(CAST(k AS BIGINT))", "SUM(CASE WHEN ts >= '2024-04-01' THEN 1 END)",
]  # fmt: skip
_CONDITIONS = [
    "n = 'a'", "n IN ('a', 'A', 'é')", "n IS NOT NULL", "k > 0", "k BETWEEN 0 AND 2", "b", "NOT b", "b IS NULL",
    "d >= '2024-02-29'", "ts >= '2024-01-01'", "ts < '2025-01-01 00:00:00'", "ts >= '2024-12-30'", "ts < '2024-04-01'",
    "ts > '2024-01-01'", "ts <= '2024-12-31'", "ts >= '2024-03-10 02:30:00'", "ts = '2024-01-01'", "u < '2024-03-01'",
    "ts >= TO_TIMESTAMP('2024-03-10 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')",
    "ts < TO_TIMESTAMP('2024-11-03 02:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')",
    "z >= '2024-01-01'", "DATE_TRUNC('month', ts) = '2024-12-01'", "EXTRACT(YEAR FROM ts) = 2024",
    "CAST(ts AS DATE) >= CAST('2024-04-01' AS DATE)", "LOWER(n) = 'a'", "n LIKE 'a%'", "m = 1", "m IN (1.0, 2)",
    "f = 0", "f > 0", "c = 'a'", "c <> 'A'", "LOWER(c) = 'a'", "CAST(m AS TEXT) = '1.0'", "p * 2 > 2",
    "n = 'a' OR k = 1", "x >= '12:30:00'", "x = '00:00:00'", "f * 2 > 1", "m + 1 = 2",
    "NOT (n = 'a' AND k = 1)", "(k = 1 OR b) AND n <> ''", "ts >= '2024-01-01' AND ts < '2024-02-01'", "1 = 1",
    "DATE_TRUNC('week', ts) < '2024-12-30'", "COALESCE(k, 0) = 0", "ts >= CAST('2024-01-01' AS TIMESTAMP)",
]  # fmt: skip
RELATIONS = [
    "t", "t", "t AS x", "(SELECT * FROM t) AS virtual_table",
    "(SELECT t.k, t.a, t.s, t.d, t.ts, t.u, t.z, LOWER(t.n) AS n, t.c, t.f, t.m, t.p, t.b, t.r, t.x FROM t"
    " WHERE t.k > 0) AS v",
]  # fmt: skip


def query(some: random.Random, relation: str) -> str:
    """A random query, as charts make them, with what may be a trap."""
    keys = some.sample(_KEYS, some.choice((0, 1, 1, 2, 2, 3)))
    measures = some.sample(_MEASURES, some.choice((1, 1, 2, 3)))
    where = " AND ".join(some.sample(_CONDITIONS, some.choice((0, 0, 1, 1, 2))))
    where = f" WHERE {where}" if where else ""
    if keys and some.random() < 0.1:
        outputs, group, start = keys, "", "SELECT DISTINCT"
    else:
        outputs, start = [*keys, *measures], "SELECT"
        places = [str(place + 1) for place in range(len(keys))]
        terms = some.choice((keys, keys, places, [f"o{place}" for place in range(len(keys))]))
        group = f" GROUP BY {', '.join(terms)}" if keys else ""
        if group and some.random() < 0.2:
            group += f" HAVING {some.choice(measures)} {some.choice(('IS NOT NULL', 'IS NULL'))}"
        elif some.random() < 0.1:
            group += f" HAVING {some.choice(('COUNT(*) > 1', 'SUM(k) > 0', 'MIN(k) < 2', 'COUNT(k) = 0'))}"
    columns = ", ".join(f"{output} AS o{place}" for place, output in enumerate(outputs))
    order, total = _order(some, outputs, len(keys) or len(outputs))
    limit = (
        some.choice(("", "", " LIMIT 2", " LIMIT 1000", " LIMIT 1 OFFSET 1", " LIMIT 10"))
        if total or some.random() < 0.4
        else ""
    )
    series = _series(some, keys, relation, where) if keys and group and some.random() < 0.15 else ""
    return f"{start} {columns} FROM {relation}{series}{where}{group}{order}{limit}"


def _series(some: random.Random, keys: Sequence[str], relation: str, where: str) -> str:
    """A join with the groups that come first, as Superset's series limit has it."""
    chosen = some.sample(keys, some.randint(1, len(keys)))
    outputs = ", ".join(f"{key} AS key_{place}__" for place, key in enumerate(chosen))
    places = ", ".join(str(place + 1) for place in range(len(chosen)))
    metric = some.choice(_MEASURES)
    order = some.choice((" ORDER BY metric__ DESC", f" ORDER BY {metric}", f" ORDER BY metric__ DESC, {places}", ""))
    on = " AND ".join(f"{key} = key_{place}__" for place, key in enumerate(chosen))
    return (
        f" JOIN (SELECT {outputs}, {metric} AS metric__ FROM {relation}{where} GROUP BY {places}{order}"
        f" LIMIT {some.choice((1, 2, 3, 100))}) AS series_limit ON {on}"
    )


def _order(some: random.Random, outputs: Sequence[str], keys: int) -> tuple[str, bool]:
    total = some.random() < 0.5
    places = list(range(keys)) if total else some.sample(range(len(outputs)), some.randint(0, len(outputs)))
    some.shuffle(places)
    forms = [some.choice((str(place + 1), f"o{place}", outputs[place])) for place in places]
    terms = [form + some.choice(("", " DESC", " DESC NULLS LAST")) for form in forms]
    return (f" ORDER BY {', '.join(terms)}" if terms else ""), total


def table(some: random.Random, engine: str, collation: str) -> list[str]:
    """Statements that make the table t and fill it."""
    columns = [f"{name} {type_}{f' COLLATE {collation}' if name == 'c' else ''}" for name, type_ in _TYPES.items()]
    values = dict(_VALUES)
    if engine == "postgresql":
        values["m"] = values["m"] + (_HUGE["m"] if some.random() < 0.3 else [])
    rows = [_row(some, values) for _ in range(some.choice((0, 1, 3, 12, 25, 40)))]
    rows += rows[: some.choice((0, 0, 5))]
    statements = ["DROP TABLE IF EXISTS t", f"CREATE TABLE t ({', '.join(columns)})"]
    return [*statements, f"INSERT INTO t VALUES {', '.join(rows)}"] if rows else statements


def _row(some: random.Random, values: dict[str, list[str]]) -> str:
    few = some.random() < 0.5
    chosen = ("NULL" if some.random() < 0.15 else some.choice(v[: 2 if few else 99]) for v in values.values())
    return f"({', '.join(chosen)})"
