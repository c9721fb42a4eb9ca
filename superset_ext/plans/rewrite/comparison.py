"""A statement beside what the rules make of it: what the planner expects of both, and what running them shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.errors import PlanError
from superset_ext.plans.answers import MAX_ROWS, SAME_MOMENT, same_rows
from superset_ext.plans.explain import SECONDS, asked, reading, refuse_volatile
from superset_ext.plans.one_select import one_select
from superset_ext.plans.postgresql import ENGINE
from superset_ext.plans.rewrite import ALL, AUTOMATIC, Rewriting, Rule, rewritten
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL

ROUNDS = 3  # of each text, in turns; the quickest counts


@dataclass(frozen=True, slots=True)
class Side:
    """One of both texts.

    Attributes:
        cost: the planner's.
        ms: milliseconds of the quickest run; `None` if it was not run.
    """

    sql: str
    cost: float
    ms: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A statement, and what the rules make of it.

    Attributes:
        rows: that the original gave; `None` if it was not run.
        equal: whether both gave the same rows; `None` if they were not run.
    """

    rewriting: Rewriting
    original: Side
    rewritten: Side | None = None
    rows: int | None = None
    equal: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        verdicts = self.rewriting.verdicts
        automatic = {rule.__name__ for rule in AUTOMATIC}
        return {
            "original": _side(self.original), "rewritten": self.rewritten and _side(self.rewritten),
            "rows": self.rows, "equal": self.equal, "reason": self.rewriting.reason or None,
            "only_below_rows": self.rewriting.below,
            "applied": [
                {"rule": name, "automatic": name in automatic, "changed": verdicts[name].changed,
                 "times": round(verdicts[name].times, 1)}
                for name in self.rewriting.applied
            ],
            "not_applied": [
                {"rule": name, "reasons": verdict.refused} for name, verdict in verdicts.items() if not verdict.changed
            ],
        }  # fmt: skip


def _side(side: Side) -> dict[str, Any]:
    return {"sql": side.sql, "cost": side.cost, "ms": side.ms and round(side.ms, 2)}


def compare(
    connection: Any,
    sql: str,
    seconds: float = SECONDS,
    run: bool = False,
    rules: Sequence[Rule] = ALL,
    refuses_volatile: bool = False,
) -> Comparison:
    """Rewrite one SELECT of PostgreSQL, and have both texts explained.

    Args:
        connection: of psycopg2; its transaction only reads, and is rolled back.
        seconds: that each statement may take.
        run: run both, in turns and at one moment of the source, and compare their rows.
        rules: that are asked.
        refuses_volatile: as of `explain`.

    Raises:
        PlanError: it is not one SELECT that only reads, the source refused it, or there are too many rows to compare.
    """
    select = one_select(sql, ENGINE)
    with reading(connection, seconds) as cursor:
        cursor.execute(SAME_MOMENT)
        rewriting = rewritten(select, PostgreSQL(lambda text, values: _all(cursor, text, values)), rules)
        plan = asked(cursor, "", select)
        if run or refuses_volatile:
            refuse_volatile(cursor, plan, "" if refuses_volatile else "--run")
        original = Side(select, plan["Plan"]["Total Cost"])
        if not rewriting.applied:
            return Comparison(rewriting, original)
        ours = Side(rewriting.sql, asked(cursor, "", rewriting.sql)["Plan"]["Total Cost"])
        if not run:
            return Comparison(rewriting, original, ours)
        return _run(cursor, rewriting, original, ours)


def _all(cursor: Any, text: str, values: Sequence[Any] | None = None) -> list[Sequence[Any]]:
    cursor.execute(text, values)
    return list(cursor.fetchall())


def _run(cursor: Any, rewriting: Rewriting, original: Side, ours: Side) -> Comparison:
    sides = (original, ours)
    times: list[list[float]] = [[], []]
    answers: list[list[Sequence[Any]]] = [[], []]
    for _ in range(ROUNDS):
        for place, side in enumerate(sides):
            started = time.perf_counter()
            answers[place] = _rows(cursor, side.sql)
            times[place].append((time.perf_counter() - started) * 1000)
    first, second = (Side(side.sql, side.cost, min(took)) for side, took in zip(sides, times, strict=True))
    return Comparison(rewriting, first, second, len(answers[0]), same_rows(*answers))


def _rows(cursor: Any, sql: str) -> list[Sequence[Any]]:
    cursor.execute(sql)
    rows = list(cursor.fetchmany(MAX_ROWS + 1))
    if len(rows) > MAX_ROWS:
        raise PlanError(f"it gives more than {MAX_ROWS} rows, which are not compared; leave out --run")
    return rows
