"""Random aggregates, queries and tables: what an aggregate answers must be what its table answers, types included."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from superset_ext.aggregates.base import base
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.needs import Needs, needs
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.shape import Shape, shape_of
from superset_ext.aggregates.ties import SURE, is_total
from superset_ext.aggregates.view import ROWS, Key, Measure, View, quoted
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.catalogue.duckdb import DuckDB
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from superset_ext.plans.rewrite.facts import Facts, Kind
from superset_ext.plans.rewrite.rewriting import parsed
from testing.aggregate_queries import RELATIONS, query
from testing.aggregate_queries import table as random_table
from testing.rewrites import shown

VIEWS = 6  # over the same rows
LOOSELY = Allowed(floats=True, loose=True)
_OIDS = {20: "bigint", 1700: "numeric", 701: "double precision", 700: "real"}


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
        series: of these, how many had a series limit.
        unsure: of these, how many said that rows tie where a LIMIT cuts, so that the table itself has to answer.
        with_rows: of these, how many gave rows.
        ordered: how many were compared row by row, since ORDER BY leaves none to tie; others by what orders them.
        failed: queries that the source refused on the table itself.
        unbuilt: why aggregates could not be made.
        reasons: why the others were not.
        differences: what differed, with all that makes it again.
    """

    triples: int = 0
    matched: int = 0
    series: int = 0
    unsure: int = 0
    with_rows: int = 0
    ordered: int = 0
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
        table = random_table(some, engine.name, engine.collation)
        for statement in table:
            engine.run(statement)
        facts, relation = engine.facts(), some.choice(RELATIONS)
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
        assert isinstance(shape, Shape)
        if difference := _compare(engine, (sql, shape), result, allowed, tally):
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
    return replace(view.typed(types_), rows=rows[0][0], distinct=distinct, finite=_finite(engine, view))


def _finite(engine: Engine, view: View) -> frozenset[str]:
    """Which columns of time have no infinite value."""
    times = [key for key in view.keys if view.columns[key.column].kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)]
    tests = [f"COALESCE(BOOL_AND(ISFINITE({quoted(view.names[key])})), TRUE)" for key in times]
    rows = engine.run(f"SELECT {', '.join(tests)} FROM {view.table}")[1] if tests else [()]
    return frozenset(key.column for key, is_finite in zip(times, rows[0], strict=True) if is_finite)


def _type_name(type_: Any) -> str:
    return _OIDS.get(type_[0], "") if isinstance(type_, tuple) else type_


def _compare(engine: Engine, asked: tuple[str, Shape], result: Match, allowed: Allowed, tally: Tally) -> str:
    sql, shape = asked
    tally.matched += 1
    tally.series += shape.series is not None
    try:
        types, stock = engine.run(sql)
    except Exception:  # noqa: BLE001  (whatever a driver raises; a query that fails has no answer to compare)
        tally.failed += 1
        return ""
    try:
        our_types, rows = engine.run(result.sql)
    except Exception as error:  # noqa: BLE001  (as above; this is a difference, unless it is how a text says that)
        is_unsure = SURE in result.sql and type(error).__name__ == "DivisionByZero"
        tally.unsure += is_unsure
        return "" if is_unsure else f"it fails: {error}"
    if result.below is not None and len(rows) >= result.below:
        tally.unsure += 1
        return ""
    tally.with_rows += bool(stock)
    if types != our_types:
        return f"other types: {types} {our_types}"
    if difference := differs(stock, rows, allowed):
        return difference
    if not shape.order or allowed.floats:  # a last digit may turn an order around
        return ""
    tally.ordered += is_total(shape)
    show = _value if allowed.loose else _sorting
    return "another order" if in_order(stock, shape, show) != in_order(rows, shape, show) else ""


def in_order(rows: Sequence[Sequence[Any]], shape: Shape, show: Callable[[Sequence[Any]], str]) -> list[str]:
    """What rows are ordered by, one after the other; all of them, where none can tie."""
    outputs = [output.value for output in shape.outputs]
    places = range(len(outputs)) if is_total(shape) else _first_places(shape, outputs)
    return [show([row[place] for place in places]) for row in rows]


def _first_places(shape: Shape, outputs: Sequence[Any]) -> list[int]:
    """Where the first terms of the order are shown, up to one that is not."""
    places: list[int] = []
    for term in shape.meant:
        if term not in outputs:
            break
        places.append(outputs.index(term))
    return places


def differs(stock: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]], allowed: Allowed) -> str:
    """How two answers differ, as far as that is not allowed; empty: not."""
    show = _value if allowed.loose or allowed.floats else shown
    ours, theirs = Counter(map(show, rows)), Counter(map(show, stock))
    return "" if ours == theirs else f"other rows: {list(theirs - ours)[:3]} became {list(ours - theirs)[:3]}"


def _value(row: Sequence[Any]) -> str:
    """A row by value: 1.0 is 1.00, −0 is 0, é is É, and floats have nine digits."""
    return repr([_loose(value) for value in row])


def _sorting(row: Sequence[Any]) -> str:
    """A row by what ORDER BY sees of it: 1.0 and 1.00 tie, and −0 and 0, so that either may come first."""
    return shown([value + 0 if isinstance(value, float) else _plain(value) for value in row])


def _plain(value: Any) -> Any:
    return value.normalize() + 0 if isinstance(value, Decimal) and value.is_finite() else value


def _loose(value: Any) -> Any:
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, float):
        return "nan" if value != value else f"{value + 0.0:.9g}" if value else "0"
    return str(value.normalize() + 0) if hasattr(value, "normalize") and value.is_finite() else str(value)
