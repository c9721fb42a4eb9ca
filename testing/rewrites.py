"""Random schemas, data and queries, on which a rewritten statement must give what the original gives.

Each pair runs under planner settings of its own, by chance, so that two texts seldom share a plan: an answer that
depends on the plan shows.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from superset_ext.plans.rewrite import Rule, rewritten
from superset_ext.plans.rewrite.facts import Facts
from testing.rewrite_sources import Source

ROUND = 10  # queries over the same tables
TYPES = {
    "k": "int", "a": "bigint", "d": "date", "ts": "timestamp", "z": "timestamptz", "n": "text", "c": "char(3)",
    "f": "float8", "m": "numeric", "p": "numeric(8, 2)", "b": "boolean",
}  # fmt: skip
VALUES = {
    "k": ["0", "1", "2", "-3", "12345", "7"], "a": ["1", "2", "12345", "-5", "4000000000"],
    "d": ["'2024-01-01'", "'2024-12-31'", "'2025-01-01'", "'2023-12-31'", "'2024-02-29'", "'infinity'"],
    "ts": [
        "'2024-01-01'", "'2024-12-31 23:59:59.999999'", "'2025-01-01'", "'2024-02-01'", "'2024-01-31 12:00:00'",
        "'-infinity'",
    ],
    "z": ["'2024-01-01 00:00:00+00'", "'2024-12-31 23:30:00+00'", "'2025-01-01 04:00:00+00'"],
    "n": ["'a'", "'A'", "'a '", "''", "'5'"],
    "c": ["'a'", "'b '", "'5'"], "f": ["0.1", "0.2", "-0.0", "0.0", "1e16", "3.3"],
    "m": ["1.0", "1.00", "2", "0.5"], "p": ["1.0", "1.25", "2"], "b": ["true", "false"],
}  # fmt: skip
CONDITIONS = [
    "EXTRACT(YEAR FROM v.d) = 2024", "EXTRACT(YEAR FROM v.ts) = 2024", "2024 = EXTRACT(YEAR FROM v.d)",
    "EXTRACT(YEAR FROM v.z) = 2024", "NOT (EXTRACT(YEAR FROM v.d) = 2024)", "EXTRACT(YEAR FROM v.d) = 2024 OR v.k = 1",
    "DATE_TRUNC('month', v.ts) = '2024-01-01'", "DATE_TRUNC('year', v.ts) = TIMESTAMP '2024-01-01 00:00:00'",
    "DATE_TRUNC('week', v.ts) = '2024-12-30'", "DATE_TRUNC('day', v.ts) = '2024-02-01'",
    "DATE_TRUNC('month', v.ts) = '2024-01-02'", "DATE_TRUNC('quarter', v.ts) = '2024-10-01'",
    "CAST(v.ts AS DATE) = '2024-12-31'", "CAST(v.ts AS DATE) = DATE '2025-01-01'", "CAST(v.d AS DATE) = '2024-02-29'",
    "CAST(v.k AS TEXT) = '12345'", "CAST(v.k AS TEXT) = '007'", "CAST(v.k AS TEXT) = '+7'", "'-3' = CAST(v.k AS TEXT)",
    "CAST(v.k AS TEXT) IN ('1', '2')", "CAST(v.a AS VARCHAR) = '4000000000'", "CAST(v.k AS VARCHAR(3)) = '123'",
    "CAST(v.k AS TEXT) IN ('1', '02')", "CAST(v.k AS TEXT) <> '1'", "CAST(v.p AS TEXT) = '1'",
    "NOT CAST(v.k AS TEXT) = '1'",
    "v.ts >= TO_TIMESTAMP('2024-02-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')",
    "v.d < TO_DATE('2024-12-31', 'YYYY-MM-DD')", "v.k = 12345.0", "v.k = 1.5", "v.k IN (1.0, 2, 7.00)",
    "v.a >= 12345.0", "v.k < -3.0", "v.a = 4000000000.0",
    "v.k <> 1.0", "v.p = 1.0", "v.f = 0.0", "v.k IN (1.0, 1.5)", "v.k IS NULL", "v.n = 'a'", "v.b",
]  # fmt: skip
_KEYS = ["v.k", "v.n", "v.b", "v.d", "v.a", "v.p", "v.m", "v.f", "v.c", "DATE_TRUNC('month', v.ts)", "v.k + 1",
         "EXTRACT(YEAR FROM v.ts)", "LOWER(v.n)"]  # fmt: skip
_MEASURES = [
    "COUNT(*)", "COUNT(v.k)", "COUNT(DISTINCT v.k)", "SUM(v.a)", "SUM(v.p)", "SUM(v.m)", "AVG(v.k)", "AVG(v.p)",
    "MIN(v.d)", "MAX(v.n)", "MIN(v.m)", "MAX(v.f)", "SUM(v.f)", "BOOL_OR(v.b)", "STRING_AGG(v.n, ',')", "MAX(v.c)",
    "SUM(CASE WHEN v.b THEN v.k ELSE 0 END)", "COUNT(*) FILTER (WHERE v.b)",
]  # fmt: skip


@dataclass
class Tally:
    """What a run over random pairs came to.

    Attributes:
        applied: how often each rule changed a statement.
        cut: answers that a LIMIT may have cut among ties, where the original is asked instead.
        differences: pairs of texts that gave other rows, with the tables.
    """

    pairs: int = 0
    rewritten: int = 0
    with_rows: int = 0
    cut: int = 0
    failed: int = 0
    applied: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


def compare(source: Source, rules: Sequence[Rule], pairs: int, seed: int) -> Tally:
    """Run so many random pairs, and say what came of them."""
    some, tally = random.Random(seed), Tally()
    while tally.pairs < pairs:
        tables = _tables(some)
        source.run(";".join(["DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS u", *tables]))
        facts = source.facts()
        for _ in range(min(ROUND, pairs - tally.pairs)):
            tally.pairs += 1
            _compare(source, rules, facts, Query.by(some), some, tally, tables)
    return tally


def _compare(
    source: Source, rules: Sequence[Rule], facts: Facts, query: Query, some: random.Random, tally: Tally,
    tables: Sequence[str],
) -> None:  # fmt: skip
    rewriting = rewritten(query.sql, facts, rules)
    if not rewriting.applied:
        return
    source.shake(some)
    try:
        stock = source.run(query.sql)
    except Exception:  # noqa: BLE001  (whatever a driver raises; a query that fails has no answer to compare)
        tally.failed += 1
        return
    source.shake(some)
    rows = source.run(rewriting.sql)
    tally.rewritten += 1
    tally.applied.update(rewriting.applied)
    if rewriting.below is not None and len(rows) >= rewriting.below:
        tally.cut += 1
        return
    tally.with_rows += bool(stock)
    if difference := differs(stock, rows, query.ordered):
        tally.differences.append("\n".join([difference, *tables, query.sql, rewriting.sql, str(stock), str(rows)]))


def differs(stock: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]], ordered: Sequence[int] = ()) -> str:
    """How two answers differ: in their rows, or in the order of the columns that they are ordered by; empty: not."""
    if Counter(map(shown, stock)) != Counter(map(shown, rows)):
        return "other rows"
    # By value: 1.0 and 1.00 tie, and so do −0 and 0.
    order = [[[row[place] for place in ordered] for row in answer] for answer in (stock, rows)]
    return "" if order[0] == order[1] else "another order"


def shown(row: Sequence[Any]) -> str:
    """A row with the types of its values, in which −0 is not 0 and 1.0 is not 1.00."""
    return repr([(type(value).__name__, "nan" if value != value else str(value)) for value in row])


def _tables(some: random.Random) -> list[str]:
    """Statements that make the tables t and u, fill them, and make indexes, by chance."""
    statements = []
    whole = some.random() < 0.35  # without NULL
    for name in ("t", "u"):
        columns = [f"{column} {type_}" for column, type_ in TYPES.items()]
        columns = [f"{column} NOT NULL" for column in columns] if whole else columns
        statements.append(f"CREATE TABLE {name} ({', '.join(columns)})")
        rows = [_row(some, whole) for _ in range(some.choice((0, 1, 3, 12, 25)))]
        rows += rows[: some.choice((0, 0, 5))]
        if rows:
            statements.append(f"INSERT INTO {name} VALUES {', '.join(rows)}")
        statements += [f"CREATE INDEX ON {name} ({column})" for column in ("k", "d", "ts") if some.random() < 0.4]
    return [text.replace("CREATE INDEX ON", f"CREATE INDEX i{place} ON") for place, text in enumerate(statements)]


def _row(some: random.Random, whole: bool) -> str:
    values = (
        "NULL" if not whole and some.random() < 0.2 else some.choice(choices[: some.choice((2, 9))])
        for choices in VALUES.values()
    )
    return f"({', '.join(values)})"


@dataclass(frozen=True)
class Query:
    """A random query; `ordered` are the places of the output columns that it is ordered by."""

    sql: str
    ordered: tuple[int, ...]

    @classmethod
    def by(cls, some: random.Random) -> Query:
        """A query as virtual datasets and charts make them, with what may trap a rule."""
        if some.random() < 0.3:
            return cls(_advised(some), ())
        tame = some.random() < 0.7  # without most of what makes rules refuse
        start, source = _source(some, tame)
        where = f" WHERE {_conditions(some, tame)}" if some.random() < 0.6 else ""
        keys = some.sample(_KEYS[: 6 if tame else 13], some.choice((0, 1, 1, 2)))
        measures = some.sample(_MEASURES[: 10 if tame else 18], some.choice((1, 1, 2)))
        if some.random() < 0.15:
            outputs, group = some.sample([f"v.{name}" for name in TYPES], 3), ""
        elif not tame and some.random() < 0.05:
            outputs, group = [*keys, "ROW_NUMBER() OVER (ORDER BY v.k)"], ""
        else:
            outputs, group = [*keys, *measures], f" GROUP BY {', '.join(keys)}" if keys else ""
        distinct = "DISTINCT " if some.random() < 0.1 else ""
        ordered = tuple(some.sample(range(len(outputs)), some.randint(int(tame), len(outputs))))
        terms = ", ".join(f"{place + 1}{some.choice(('', ' DESC'))}" for place in ordered)
        order = f" ORDER BY {terms}" if ordered else ""
        limit = some.choice(("", "", "", " LIMIT 1", " LIMIT 3", " LIMIT 100", " LIMIT 2 OFFSET 1"))
        names = ", ".join(f"{output} AS o{place}" for place, output in enumerate(outputs))
        return cls(f"{start}SELECT {distinct}{names} FROM {source}{where}{group}{order}{limit}", ordered)


def _advised(some: random.Random) -> str:
    """A query of a form that a rule of advice is about."""
    column, other = some.sample(["k", "a", "n", "d", "p", "b"], 2)
    inner = some.choice(("", " WHERE u.n = 'a'", " WHERE u.b OR u.k > 1"))
    join, more = some.choice(("JOIN", "LEFT JOIN")), some.choice(("", f" AND u.{other} = v.{other}", " AND u.b"))
    one, two = some.choice(CONDITIONS), some.choice(CONDITIONS).replace("v.", "u.")
    count = f"COUNT(DISTINCT v.{column})"
    aggregate = some.choice(("COUNT(*)", "COUNT(u.a)", "SUM(u.a)", "MAX(u.n)", "MIN(u.d)", "AVG(u.a)"))
    where = some.choice(("", f" WHERE {some.choice(CONDITIONS)}"))
    forms = [
        f"SELECT v.k AS o0, v.ts AS o1 FROM t AS v WHERE v.{column} NOT IN (SELECT u.{column} FROM u{inner})",
        f"SELECT v.n AS o0, (SELECT {aggregate} FROM u WHERE u.{column} = v.{column}{more}) AS o1 FROM t AS v{where}",
        f"SELECT v.n AS o0 FROM t AS v WHERE (SELECT {aggregate} FROM u WHERE u.k = v.k{more}) IS NULL",
        f"SELECT v.n, u.{column} AS o1 FROM t AS v {join} u ON u.k = v.k WHERE ({one} OR {two})",
        f"SELECT v.n AS n, COUNT(*) AS o1, SUM(u.a) AS o2 FROM t AS v {join} u ON u.k = v.k WHERE ({one} OR {two})"
        f" GROUP BY v.n{some.choice(('', ' HAVING COUNT(*) > 1', ' ORDER BY n', ' ORDER BY v.n, 2'))}",
        f"SELECT {count} AS o0 FROM t AS v{where}",
        f"SELECT v.{other}, {count} AS o1 FROM t AS v{where} GROUP BY v.{other}"
        + some.choice(
            ("", f" HAVING {count} > 1", f" ORDER BY {count} DESC, v.{other} LIMIT 3", " ORDER BY o1 LIMIT 2")
        ),
        f"WITH w AS MATERIALIZED (SELECT * FROM t AS v{where}) SELECT v.{column} AS o0, COUNT(*) AS o1 FROM w AS v"
        f" {some.choice(('', 'JOIN u ON u.k = v.k', 'LEFT JOIN u ON u.k = v.k'))} WHERE {one} GROUP BY v.{column}",
        f"WITH w AS MATERIALIZED (SELECT v.{column} AS k, v.d AS d, v.n AS n FROM t AS v{where})"
        " SELECT COUNT(*) AS o0 FROM w AS v WHERE " + some.choice(("v.k = 1", "v.n IN ('a', 'A')", "v.k IS NULL")),
    ]
    return some.choice(forms)


def _conditions(some: random.Random, tame: bool) -> str:
    conditions = some.sample(CONDITIONS, some.choice((1, 1, 2)))
    return some.choice((" AND ", " AND ", " AND " if tame else " OR ")).join(
        f"({condition})" for condition in conditions
    )


def _source(some: random.Random, tame: bool) -> tuple[str, str]:
    """What stands before SELECT, and what it reads, by the name v."""
    inner = _inner(some, tame)
    match some.randrange(6):
        case 0:
            return "", "t AS v"
        case 1:
            return f"WITH w AS ({inner}) ", "w AS v"
        case 2:
            return (
                "",
                f"(SELECT * FROM ({inner}) AS x{some.choice(('', ' ORDER BY n', '' if tame else ' LIMIT 4'))}) AS v",
            )
        case 3:
            return "", f"({inner}) AS v {some.choice(('JOIN', 'LEFT JOIN'))} u ON u.k = v.k"
        case _:
            return "", f"({inner}) AS v"


def _inner(some: random.Random, tame: bool) -> str:
    """A virtual dataset's query."""
    distinct = "" if tame else some.choice(("", "", "", "DISTINCT ", "DISTINCT ON (v.k) "))
    where = f" WHERE {_conditions(some, tame)}" if some.random() < 0.3 else ""
    columns = some.choice(("*", "v.*", ", ".join(f"v.{name}" for name in TYPES)))
    columns = ", ".join(f"v.{name}" for name in TYPES) if distinct else columns
    terms = ["v.k" if "ON" in distinct else some.choice(("v.ts", "v.n DESC", "v.a", "v.p"))]
    order = f" ORDER BY {', '.join([*terms, some.choice(('v.f', 'v.d'))])}" if some.random() < 0.8 else ""
    limit = "" if tame else some.choice(("", "", "", " LIMIT 5", " OFFSET 2"))
    return f"SELECT {distinct}{columns} FROM t AS v{where}{order}{limit}"


def share(tally: Tally) -> float:
    """Upper bound of the share of wrong answers, at 95 %, where none was seen."""
    return 1 - math.exp(math.log(0.05) / max(tally.rewritten, 1))
