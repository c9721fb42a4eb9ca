"""Random pairs for one rewrite rule at a time: queries that it is about, over data that change under them.

A query is parsed and rewritten once and compared over several fills of its tables, since what a rule may rely on is the
tables' definition and never their rows. What counts as a pair is one query over one fill that was run both ways.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from superset_ext.plans.rewrite import Rule, rewritten
from superset_ext.plans.rewrite.rewriting import Rewriting
from testing.rewrite_sources import Source
from testing.rewrites import TYPES, VALUES, Query, Tally, differs
from testing.rule_queries import QUERIES

QUERIES_A_ROUND, FILLS = 10, 3
_FIRST = datetime(2023, 12, 25)
_ROUNDS_TO_COLLECT = 20  # trees refer to themselves; a collection for each costs a third of the time


def pairs_of(source: Source, rule: Rule, pairs: int, seed: int) -> Tally:
    """At least so many pairs of one rule, all of which it changed.

    Args:
        rule: one of `AUTOMATIC` or `ADVICE`.
        pairs: how many are run both ways and compared; `tally.pairs` says how many were.
    """
    some, tally = random.Random(f"{rule.__name__} {seed}"), Tally()
    gc.disable()
    try:
        rounds = 0
        while tally.pairs < pairs and not tally.differences:
            _round(source, rule, some, tally)
            rounds += 1
            if rounds % _ROUNDS_TO_COLLECT == 0:
                gc.collect()
    finally:
        gc.enable()
    return tally


def _round(source: Source, rule: Rule, some: random.Random, tally: Tally) -> None:
    """New tables, queries over them, and data several times."""
    whole = some.random() < (0.9 if rule.__name__ == "not_in" else 0.4)  # without NULL, as NOT IN needs it
    tables = _tables(some, whole)
    source.run(";".join(["DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS u", *tables]))
    facts = source.facts()
    queries: list[tuple[Query, Rewriting]] = []
    for _ in range(QUERIES_A_ROUND):
        query = QUERIES[rule.__name__](some)
        rewriting = rewritten(query.sql, facts, [rule])
        tally.rewritten += bool(rewriting.applied)
        if rewriting.applied:
            queries.append((query, rewriting))
    for _ in range(FILLS):
        fill = _fill(some, whole)
        source.run(";".join(["DELETE FROM t", "DELETE FROM u", *fill]))
        for query, rewriting in queries:
            _compare(source, query, rewriting, some, tally, [*tables, *fill])


def _compare(
    source: Source, query: Query, rewriting: Rewriting, some: random.Random, tally: Tally, tables: Sequence[str]
) -> None:
    source.shake(some)
    try:
        stock = source.run(query.sql)
    except Exception:  # noqa: BLE001  (whatever a driver raises; a query that fails has no answer to compare)
        tally.failed += 1
        return
    source.shake(some)
    try:
        rows = source.run(rewriting.sql)
    except Exception as error:  # noqa: BLE001  (an error where there was an answer is a difference)
        tally.differences.append("\n".join([repr(error), *tables, query.sql, rewriting.sql]))
        return
    if rewriting.below is not None and len(rows) >= rewriting.below:
        tally.cut += 1
        return
    tally.pairs += 1
    tally.with_rows += any(value is not None and value != 0 for row in stock for value in row)
    if difference := differs(stock, rows, query.ordered):
        tally.differences.append("\n".join([difference, *tables, query.sql, rewriting.sql, str(stock), str(rows)]))


def _tables(some: random.Random, whole: bool) -> list[str]:
    """Statements that make the tables t and u, with indexes by chance."""
    statements, null = [], " NOT NULL" if whole else ""
    for name in ("t", "u"):
        columns = [f"{column} {type_}{null}" for column, type_ in TYPES.items()]
        some.shuffle(columns)
        statements.append(f"CREATE TABLE {name} ({', '.join(columns)})")
        statements += [
            f"CREATE INDEX i_{name}_{column} ON {name} ({column})"
            for column in ("k", "a", "d", "ts", "n")
            if some.random() < 0.25
        ]
    return statements


def _fill(some: random.Random, whole: bool) -> list[str]:
    """Statements that fill both tables: none, few or many rows, duplicates and ties among them."""
    statements = []
    for name in ("t", "u"):
        rows = [_row(some, whole) for _ in range(some.choice((0, 1, 4, 10, 20, 30)))]
        rows += rows[: some.choice((0, 0, 5))]
        if rows:
            statements.append(f"INSERT INTO {name} ({', '.join(TYPES)}) VALUES {', '.join(rows)}")
    return statements


def _row(some: random.Random, whole: bool) -> str:
    return f"({', '.join(_value(some, column, whole) for column in TYPES)})"


def _value(some: random.Random, column: str, whole: bool) -> str:
    """A value of a column: NULL, one of few that tie or lie on a bound, or any."""
    if not whole and some.random() < 0.2:
        return "NULL"
    if some.random() < 0.7:
        return some.choice(VALUES[column])
    moment = _FIRST + timedelta(days=some.randrange(380), seconds=some.choice((0, some.randrange(86_400))))
    match column:
        case "k" | "a" | "f" | "m" | "p":
            return str(some.randint(-9, 9))
        case "d":
            return f"'{moment.date()}'"
        case "ts":
            return f"'{moment}'"
        case "z":
            return f"'{moment}+00'"
        case _:
            return some.choice(VALUES[column])
