"""How far the time that is said before a query runs is from the time that it takes: TPC-H (scale 1, 19 queries).

Run with `python -m bench estimates`; it needs what `bench.indexes` needs. Each query is asked with other dates in each
round. Before it runs, its time is estimated from the plans that were kept so far, as `perf explain` does it; then its
plan is kept, as the recorder does it for a slow query. An error of 2 is twice as long, or half. A query that is not
done within `LIMIT` is neither counted nor kept.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2

from bench.tpch import missing, queries, tpch
from superset_ext.core.log_database import LogDatabase
from superset_ext.plans.estimate import Estimate, estimate
from superset_ext.plans.explain import explain
from superset_ext.plans.kept import keep
from superset_ext.plans.review import judged
from testing.databases import postgres_in

ROUNDS = 3
LIMIT = 20.0
_DATABASE = 1
_SECONDS = 10.0  # that an EXPLAIN may take
_DATE = re.compile(r"date '(\d{4})-(\d\d)-01'")


@dataclass(frozen=True)
class Asked:
    """A query that was estimated and run.

    Attributes:
        round: in which; the first has no plan of the same statement.
        seconds: that it took.
    """

    name: str
    round: int
    estimate: Estimate
    seconds: float

    @property
    def error(self) -> float:
        """How many times too long or too short the estimate was."""
        ratio = (self.estimate.seconds or 0.0) / self.seconds
        return max(ratio, 1 / ratio)

    @property
    def within(self) -> bool:
        """Whether the time is within the bounds that are said to hold for eight of ten."""
        return (self.estimate.least or 0.0) <= self.seconds <= (self.estimate.most or 0.0)


def run(connection: Any, log: LogDatabase) -> Iterator[Asked]:
    """All queries, in rounds, in a random order; those without an estimate are left out."""
    order = random.Random(1)
    for number in range(ROUNDS):
        names = list(queries().items())
        order.shuffle(names)
        for name, text in names:
            asked = _asked(connection, log, name, _moved(text, order.randint(-6, 6) if number else 0), number)
            if asked is not None and asked.estimate.seconds is not None:
                yield asked


def _asked(connection: Any, log: LogDatabase, name: str, sql: str, number: int) -> Asked | None:
    explained = explain(connection, sql, _SECONDS)
    guess = estimate(log, _DATABASE, explained.plan.root.cost or 0.0)
    seconds = _took(connection, sql)
    if seconds is None:
        return None
    with log.transaction() as cursor:
        keep(cursor, f"tpch {name}", _DATABASE, seconds * 1000, judged(explained, sql, seconds * 1000))
    return Asked(name, number, guess, seconds)


def _took(connection: Any, sql: str) -> float | None:
    """Seconds from the statement to its last row; `None` where it was cut."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {int(LIMIT * 1000)}")
        start = time.perf_counter()
        try:
            cursor.execute(sql)
            cursor.fetchall()
            return time.perf_counter() - start
        except psycopg2.errors.QueryCanceled:
            return None
        finally:
            connection.rollback()


def _moved(text: str, months: int) -> str:
    """The query with all its dates so many months later."""

    def moved(match: re.Match[str]) -> str:
        month = int(match[1]) * 12 + int(match[2]) - 1 + months
        return f"date '{month // 12}-{month % 12 + 1:02}-01'"

    return _DATE.sub(moved, text)


def _summary(rows: Sequence[Asked]) -> dict[str, float]:
    errors = sorted(row.error for row in rows)
    return {
        "queries": len(rows), "median": median(errors), "p90": errors[round(0.9 * (len(errors) - 1))],
        "within_bounds": sum(row.within for row in rows) / len(rows),
    }  # fmt: skip


def main() -> None:
    """Print a table and a line of JSON."""
    if (reason := missing()) is not None:
        print(f"left out: {reason}")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_in(Path(folder)) as server,
        tpch() as connection,
        closing(LogDatabase(server.create_database("log"))) as log,
    ):
        log.apply_schema()
        rows = list(run(connection, log))
    parts = {"statements not seen before": [row for row in rows if not row.round],
             "statements seen with other values": [row for row in rows if row.round]}  # fmt: skip
    for row in rows:
        print(f"{row.name:>3} round {row.round + 1}: said {row.estimate.seconds:7.2f} s, took {row.seconds:6.2f} s, "
              f"error {row.error:5.2f}")  # fmt: skip
    results = {name: _summary(part) for name, part in parts.items()}
    for name, part in results.items():
        print(f"{name:35} {part['queries']:3} queries, error median {part['median']:.2f}, p90 {part['p90']:.2f}, "
              f"within the bounds {part['within_bounds']:.0%}")  # fmt: skip
    print(json.dumps({"estimates": results}))


if __name__ == "__main__":
    main()
