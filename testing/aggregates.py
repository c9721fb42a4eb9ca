"""Random aggregates, queries and tables: what an aggregate answers must be what its table answers, types included."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from superset_ext.aggregates.base import base
from superset_ext.aggregates.grain import UNITS
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.needs import Needs, needs
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.shape import Shape, shape_of
from superset_ext.aggregates.view import ROWS, Key, Measure, View, quoted
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.catalogue.duckdb import DuckDB
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from superset_ext.plans.rewrite.facts import Facts
from superset_ext.plans.rewrite.rewriting import parsed
from testing.rewrites import shown

VIEWS = 6  # over the same rows
LOOSELY = Allowed(floats=True, loose=True)
_OIDS = {20: "bigint", 1700: "numeric", 701: "double precision", 700: "real"}
_TYPES = {
    "k": "int", "a": "bigint", "s": "smallint", "d": "date", "ts": "timestamp", "u": "timestamp", "z": "timestamptz",
    "n": "text", "c": "text", "f": "float8", "m": "numeric", "p": "numeric(8, 2)", "b": "boolean", "r": "real",
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
}  # fmt: skip
_HUGE = {"m": ["'NaN'", "12345678901234567890123456789012345678.123456789", "1e-20", "'Infinity'", "'-Infinity'"]}
_KEYS = [
    "n", "k", "b", "d", "ts", "p", "s", "z", "c", "m", "f", "LOWER(n)", "k + 1", "CASE WHEN k > 0 THEN n ELSE 'x' END",
    "UPPER(c)", "CAST(m AS TEXT)", "COALESCE(n, 'none')", "k % 3", "CAST(z AS DATE)", "DATE_TRUNC('day', z)",
    "DATE_TRUNC('month', d)", "EXTRACT(YEAR FROM d)", "CAST(ts AS DATE)", "CAST(u AS DATE)", "ABS(p)",
    "m > 1", "c = 'a'", "f IS NULL",
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
    "COUNT(NULLIF(CAST(m AS TEXT), '1.0'))", "SUM(CAST(k AS BIGINT))", "SUM(CASE WHEN ts >= '2024-04-01' THEN 1 END)",
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
    "n = 'a' OR k = 1",
    "NOT (n = 'a' AND k = 1)", "(k = 1 OR b) AND n <> ''", "ts >= '2024-01-01' AND ts < '2024-02-01'", "1 = 1",
    "DATE_TRUNC('week', ts) < '2024-12-30'", "COALESCE(k, 0) = 0", "ts >= CAST('2024-01-01' AS TIMESTAMP)",
]  # fmt: skip
_RELATIONS = [
    "t", "t", "t AS x", "(SELECT * FROM t) AS virtual_table",
    "(SELECT t.k, t.a, t.s, t.d, t.ts, t.u, t.z, LOWER(t.n) AS n, t.c, t.f, t.m, t.p, t.b, t.r FROM t"
    " WHERE t.k > 0) AS v",
]  # fmt: skip


@dataclass
class Engine:
    """A server under test.

    Attributes:
        run: runs a statement; returns the types of its columns and its rows.
        facts: makes a catalogue anew.
        zones: that its sessions may have.
        zone: sets the session's time zone.
    """

    name: str
    run: Callable[[str], tuple[list[Any], list[Sequence[Any]]]]
    facts: Callable[[], Facts]
    zone: Callable[[str], None]
    prepare: tuple[str, ...] = ()
    collation: str = ""


@dataclass
class Tally:
    """What a run over random triples came to.

    Attributes:
        triples: of rows, aggregate and query.
        matched: how many were answered by the aggregate.
        with_rows: of these, how many gave rows.
        failed: queries that the source refused on the table itself.
        unbuilt: why aggregates could not be made.
        reasons: why the others were not.
        differences: what differed, with all that makes it again.
    """

    triples: int = 0
    matched: int = 0
    with_rows: int = 0
    failed: int = 0
    unbuilt: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    @property
    def most_wrong(self) -> float:
        """Upper bound of the share of wrong answers at 95 %, where none was seen."""
        return 1 - math.exp(math.log(0.05) / max(self.matched, 1))


@contextmanager
def postgresql(url: str) -> Iterator[Engine]:
    """A PostgreSQL database."""
    import psycopg2

    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True

        def ask(sql: str, values: Sequence[Any] | None = None) -> list[Sequence[Any]]:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                return list(cursor.fetchall()) if cursor.description else []

        def run(sql: str) -> tuple[list[Any], list[Sequence[Any]]]:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                types = [(one.type_code, one.precision, one.scale) for one in cursor.description or ()]
                return types, list(cursor.fetchall()) if cursor.description else []

        collation = _loose_collation(ask)
        yield Engine(
            "postgresql", run, lambda: PostgreSQL(ask), lambda zone: void(ask(f"SET timezone = '{zone}'")),
            collation=collation,
        )  # fmt: skip


def _loose_collation(ask: Callable[[str], object]) -> str:
    """A collation that does not tell `a` from `A`, where the server is built with ICU."""
    import psycopg2

    try:
        ask("CREATE COLLATION IF NOT EXISTS loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg2.errors.FeatureNotSupported:
        return '"C"'
    return "loose"


def void(_value: object) -> None:
    """Nothing, whatever came."""


@contextmanager
def duckdb() -> Iterator[Engine]:
    """A new DuckDB database in memory."""
    import duckdb as engine

    with closing(engine.connect()) as connection:

        def ask(sql: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
            return list(connection.execute(sql, list(values)).fetchall())

        def run(sql: str) -> tuple[list[Any], list[Sequence[Any]]]:
            rows = connection.execute(sql).fetchall()
            return [str(one[1]) for one in connection.description or ()], list(rows)

        ask("SET threads = 1")
        yield Engine("duckdb", run, lambda: DuckDB(ask), void, collation="NOCASE")


def compare(engine: Engine, triples: int, seed: int, allowed: Allowed | None = None) -> Tally:
    """Try so many random triples, and say what came of them.

    Args:
        allowed: what answers may differ by; by default that changes by chance.
    """
    some, tally = random.Random(seed), Tally()
    while tally.triples < triples:
        zone = some.choice(("UTC", "America/New_York"))
        engine.zone(zone)
        table = _table(some, engine)
        for statement in table:
            engine.run(statement)
        facts, relation = engine.facts(), some.choice(_RELATIONS)
        for _ in range(VIEWS):
            may = replace(allowed or some.choice((Allowed(), Allowed(), LOOSELY)), zone=zone)
            _try_view(engine, facts, relation, may, some, tally, table)
    return tally


def _try_view(
    engine: Engine, facts: Facts, relation: str, allowed: Allowed, some: random.Random, tally: Tally,
    table: Sequence[str],
) -> None:  # fmt: skip
    """One aggregate, and some queries on it: those that it is made for, and others."""
    queries = [query(some, relation) for _ in range(4)]
    shapes = [(sql, _shape(sql, facts, tally)) for sql in queries]
    wanted = _needs([shape for _, shape in shapes if isinstance(shape, Shape)], some, allowed)
    if wanted is None:
        return
    try:
        view = built(engine, wanted.view("agg"))
    except Exception as error:  # noqa: BLE001  (whatever a driver raises, mostly of a number that is too large)
        tally.unbuilt[str(error).partition("\n")[0][:60]] += 1
        return
    for sql, shape in shapes:
        tally.triples += 1
        result = match(shape, view, allowed) if isinstance(shape, Shape) else shape
        if isinstance(result, Refusal):
            tally.reasons[result.reason] += 1
            continue
        if difference := _compare(engine, sql, result, allowed, tally):
            tally.differences.append("\n".join([difference, *table, view.select(), sql, result.sql, str(allowed)]))


def _shape(sql: str, facts: Facts, tally: Tally) -> Shape | Refusal:
    try:
        return read(sql, facts)
    except AggregateRefused as refused:
        return Refusal(str(refused))


def read(sql: str, facts: Facts) -> Shape:
    """The shape of a statement, with the columns that the catalogue knows.

    Raises:
        AggregateRefused: it has none.
    """
    tree = parsed(sql, facts.engine)
    if isinstance(tree, str):
        raise AggregateRefused(tree)
    return shape_of(tree, facts.engine, base(tree, facts).columns)


def _needs(shapes: Sequence[Shape], some: random.Random, allowed: Allowed) -> Needs | None:
    """What some of them need together."""
    whole: Needs | None = None
    for shape in some.sample(shapes, min(len(shapes), some.choice((1, 3, 4)))):
        try:
            one = needs(shape, allowed.zone)
        except AggregateRefused:
            continue
        whole = one if whole is None else whole.merged(one)
    return whole


def built(engine: Engine, view: View) -> View:
    """An aggregate that is there, with what is known of it then."""
    engine.run(view.drop())
    engine.run(view.create()[0])
    return measured(engine, view)


def measured(engine: Engine, view: View) -> View:
    """An aggregate with the types of its columns, its rows, and the values of its keys."""
    parts: list[Key | Measure] = [*view.keys, *view.measures]
    names = [view.names[part] for part in parts]
    columns = [*(quoted(name) for name in names), quoted(ROWS)]
    types, _ = engine.run(f"SELECT {', '.join(columns)} FROM {view.table} LIMIT 0")
    types_ = dict(zip(names, map(_type_name, types), strict=False))
    keys = [quoted(view.names[key]) for key in view.keys]
    counts = [f"COUNT(DISTINCT {key}) + MAX(CASE WHEN {key} IS NULL THEN 1 ELSE 0 END)" for key in keys]
    _, rows = engine.run(f"SELECT {', '.join(['COUNT(*)', *counts])} FROM {view.table}")
    distinct = {view.names[key]: number or 0 for key, number in zip(view.keys, rows[0][1:], strict=True)}
    return replace(view.typed(types_), rows=rows[0][0], distinct=distinct)


def _type_name(type_: Any) -> str:
    return _OIDS.get(type_[0], "") if isinstance(type_, tuple) else type_


def _compare(engine: Engine, sql: str, result: Match, allowed: Allowed, tally: Tally) -> str:
    tally.matched += 1
    try:
        types, stock = engine.run(sql)
    except Exception:  # noqa: BLE001  (whatever a driver raises; a query that fails has no answer to compare)
        tally.failed += 1
        return ""
    try:
        our_types, rows = engine.run(result.sql)
    except Exception as error:  # noqa: BLE001  (as above; this is a difference)
        return f"it fails: {error}"
    tally.with_rows += bool(stock)
    if types != our_types:
        return f"other types: {types} {our_types}"
    return differs(stock, rows, allowed)


def differs(stock: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]], allowed: Allowed) -> str:
    """How two answers differ, as far as that is not allowed; empty: not."""
    show = _value if allowed.loose or allowed.floats else shown
    ours, theirs = Counter(map(show, rows)), Counter(map(show, stock))
    return "" if ours == theirs else f"other rows: {list(theirs - ours)[:3]} became {list(ours - theirs)[:3]}"


def _value(row: Sequence[Any]) -> str:
    """A row by value: 1.0 is 1.00, −0 is 0, é is É, and floats have nine digits."""
    return repr([_loose(value) for value in row])


def _loose(value: Any) -> Any:
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, float):
        return "nan" if value != value else f"{value + 0.0:.9g}" if value else "0"
    return str(value.normalize() + 0) if hasattr(value, "normalize") and value.is_finite() else str(value)


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
    return f"{start} {columns} FROM {relation}{where}{group}{order}{limit}"


def _order(some: random.Random, outputs: Sequence[str], keys: int) -> tuple[str, bool]:
    total = some.random() < 0.5
    places = list(range(keys)) if total else some.sample(range(len(outputs)), some.randint(0, len(outputs)))
    some.shuffle(places)
    forms = [some.choice((str(place + 1), f"o{place}", outputs[place])) for place in places]
    terms = [form + some.choice(("", " DESC", " DESC NULLS LAST")) for form in forms]
    return (f" ORDER BY {', '.join(terms)}" if terms else ""), total


def _table(some: random.Random, engine: Engine) -> list[str]:
    """Statements that make the table t and fill it."""
    columns = [
        f"{name} {type_}{f' COLLATE {engine.collation}' if name == 'c' else ''}" for name, type_ in _TYPES.items()
    ]
    values = dict(_VALUES)
    if engine.name == "postgresql":
        values["m"] = values["m"] + (_HUGE["m"] if some.random() < 0.3 else [])
    rows = [_row(some, values) for _ in range(some.choice((0, 1, 3, 12, 25, 40)))]
    rows += rows[: some.choice((0, 0, 5))]
    statements = ["DROP TABLE IF EXISTS t", f"CREATE TABLE t ({', '.join(columns)})"]
    return [*statements, f"INSERT INTO t VALUES {', '.join(rows)}"] if rows else statements


def _row(some: random.Random, values: dict[str, list[str]]) -> str:
    few = some.random() < 0.5
    chosen = ("NULL" if some.random() < 0.15 else some.choice(v[: 2 if few else 99]) for v in values.values())
    return f"({', '.join(chosen)})"
