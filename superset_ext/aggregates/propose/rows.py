"""How many rows an aggregate would have, and of which size: from a sample of the table, or as the planner expects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.aggregates.view import Key, View

_SAMPLE = 30_000  # rows
_SPREAD = 10  # times as many rows lie on the pages that are read, so that neighbours do not pass for all
_HEAD = 28  # bytes of a row beside its values
_ENTRY = 16  # bytes of an index's entry beside its values
_TYPES = {20: "bigint", 1700: "numeric", 701: "double precision", 700: "real"}


@dataclass(frozen=True)
class Estimate:
    """How many rows there would be.

    Attributes:
        how: it is known, in words.
    """

    rows: float
    how: str


class Source:
    """A PostgreSQL source within a transaction that may only read. What it was asked is remembered.

    Args:
        cursor: of psycopg2.
    """

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._totals: dict[str, float] = {}
        self._groups: dict[tuple[str, tuple[Key, ...]], Estimate] = {}

    def total(self, relation: str) -> float:
        """About how many rows a relation has, as the planner expects."""
        if relation not in self._totals:
            rows = self._plan(f"SELECT 1 FROM {_from(relation)}")["Plan Rows"]  # noqa: S608  (made of a syntax tree)
            self._totals[relation] = max(float(rows), 1.0)
        return self._totals[relation]

    def groups(self, view: View, keys: Sequence[Key]) -> Estimate:
        """How many groups some keys make of a view's relation."""
        name = (view.relation, tuple(keys))
        if name not in self._groups:
            is_table = view.relation.startswith('"') and self._is_table(view.relation)
            count = self._sampled if is_table else self._planned
            self._groups[name] = count(view, keys) if keys else Estimate(1.0, "it has no keys")
        return self._groups[name]

    def types(self, view: View) -> View:
        """The view with the types that its sums would have."""
        self._cursor.execute(f"SELECT * FROM ({view.select()}) AS t LIMIT 0")  # noqa: S608  (made of identifiers)
        types = {one.name: _TYPES.get(one.type_code, "") for one in self._cursor.description}
        return view.typed(types)

    def bytes(self, view: View, rows: float) -> float:
        """What so many rows of it would take, with its index."""
        width = self._plan(view.select())["Plan Width"] + _HEAD
        entry = min(8.0 * len(view.keys), width) + _ENTRY if view.keys else 0.0
        return float(rows * (width + entry) + 2 * 8192)

    def base_bytes(self, relation: str) -> float:
        """About what the rows of a relation take."""
        plan = self._plan(f"SELECT * FROM {_from(relation)}")  # noqa: S608  (made of a syntax tree)
        return float(plan["Plan Rows"] * (plan["Plan Width"] + _HEAD))

    def _plan(self, sql: str) -> dict[str, Any]:
        self._cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        value = self._cursor.fetchone()[0]
        plan: dict[str, Any] = (json.loads(value) if isinstance(value, str) else value)[0]["Plan"]
        return plan

    def _is_table(self, relation: str) -> bool:
        self._cursor.execute("SELECT relkind IN ('r', 'm', 'p') FROM pg_class WHERE oid = to_regclass(%s)", (relation,))
        return bool((self._cursor.fetchone() or (False,))[0])

    def _planned(self, view: View, keys: Sequence[Key]) -> Estimate:
        rows = self._plan(f"SELECT 1 FROM {_from(view.relation)} GROUP BY {_list(view, keys)}")["Plan Rows"]  # noqa: S608
        return Estimate(float(rows), "by the planner's statistics")

    def _sampled(self, view: View, keys: Sequence[Key]) -> Estimate:
        """From how often groups come once in a sample, as ANALYZE estimates (Haas and Stokes)."""
        whole = self.total(view.relation)
        share = min(1.0, _SAMPLE * _SPREAD / whole)
        every = max(1, int(whole * share / _SAMPLE))
        sample = f" TABLESAMPLE SYSTEM ({100 * share:.6f}) REPEATABLE (1)" if share < 1 else ""
        where = f" WHERE mod(abs(hashtext(t.ctid::text)::bigint), {every}) = 0" if every > 1 else ""
        self._cursor.execute(
            "SELECT count(*), coalesce(sum(n), 0), count(*) FILTER (WHERE n = 1) FROM (SELECT count(*) AS n FROM "  # noqa: S608
            f"{view.relation} AS t{sample}{where} GROUP BY {_list(view, keys)}) AS groups"
        )
        groups, rows, once = (float(number) for number in self._cursor.fetchone())
        if share == 1 and every == 1:
            return Estimate(groups, "counted")
        if not rows:
            return self._planned(view, keys)
        return groups_of_sample(groups, rows, once, whole)


def groups_of_sample(groups: float, rows: float, once: float, whole: float) -> Estimate:
    """How many groups there are, from those of a sample (Haas and Stokes).

    Args:
        groups, rows: of the sample.
        once: groups of one row there.
        whole: rows in all.
    """
    estimate = rows * groups / (rows - once + once * rows / max(whole, rows))
    return Estimate(min(estimate, whole), f"by a sample of {rows:,.0f} rows")


def _from(relation: str) -> str:
    return f"{relation} AS t" if relation.startswith('"') else f"({relation}) AS t"


def _list(view: View, keys: Sequence[Key]) -> str:
    return ", ".join(key.value.sql(dialect=view.engine) for key in keys)
