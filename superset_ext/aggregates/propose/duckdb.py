"""Proposals for a DuckDB source: how large its relations are, and how many groups they have, by counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from superset_ext.aggregates.files.bases import ENGINE
from superset_ext.aggregates.files.session import rows_of
from superset_ext.aggregates.files.source import DuckDBSource
from superset_ext.aggregates.finite import TIMES
from superset_ext.aggregates.opened import opened
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.propose.asks import Asked, read
from superset_ext.aggregates.propose.considering import Considering, Proposed
from superset_ext.aggregates.propose.rows import Estimate, groups_of_sample
from superset_ext.aggregates.tables.definition import full
from superset_ext.aggregates.view import Key, View, quoted
from superset_ext.errors import AdviceError, PlanError
from superset_ext.plans.explain_duckdb import reading
from superset_ext.plans.rewrite.catalogue.duckdb import DuckDB

SECONDS = 120.0  # that all counting may take
SAMPLE = 300_000  # rows; where there are no more, all are counted
_BLOCK = 262_144  # bytes, in which DuckDB's files grow
_HEAD = 12_288 + _BLOCK
_WIDE = ("VARCHAR", "BLOB", "UUID", "HUGEINT", "JSON")


def propose(
    app: Any, number: int, asked: Sequence[Asked], budget: float | None, allowed: Allowed
) -> Proposed:  # fmt: skip
    """See `proposals.propose`, for one of Superset's databases.

    Raises:
        AdviceError: it takes too long, or the source refuses.
        WatchError: it cannot be connected to.
        AggregateError: no aggregate could be built there.
    """
    with opened(app, number) as source:
        if not isinstance(source, DuckDBSource):
            raise AdviceError("it is not DuckDB any more")
        held = [replace(one.view, table=full(one.name)) for one in source.kept() if one.state == "ready"]
        with source.connected() as (cursor, session):
            try:
                with reading(cursor.connection, SECONDS) as within:
                    considering = Considering(replace(allowed, zone=session.zone), held)
                    _take(considering, within, asked, session.zone)
            except PlanError as error:
                raise AdviceError(f"its rows cannot be counted: {error}") from None
    return considering.chosen(sum(one.seconds for one in asked), budget, lambda _: None)


def _take(considering: Considering, cursor: Any, asked: Sequence[Asked], zone: str) -> None:
    facts = DuckDB(lambda sql, values: rows_of(cursor, sql, values))
    asks, refused = read(asked, lambda _: facts, zone)
    considering.refused += refused
    considering.take(asks, Sizes(cursor))


class Sizes:
    """See `considering.Sizes`. What was counted is remembered.

    Args:
        cursor: of a transaction that may only read.
    """

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._totals: dict[str, float] = {}
        self._groups: dict[tuple[str, tuple[Key, ...]], Estimate] = {}
        self._finite: dict[tuple[str, str], bool] = {}

    def total(self, relation: str) -> float:
        """See `considering.Sizes`: it is counted."""
        if relation not in self._totals:
            ((rows,),) = rows_of(self._cursor, f"SELECT count(*) FROM {_source(relation)}")  # noqa: S608
            self._totals[relation] = max(float(rows), 1.0)
        return self._totals[relation]

    def groups(self, view: View, keys: Sequence[Key]) -> Estimate:
        """See `considering.Sizes`: they are counted, in a sample of large relations."""
        name = (view.relation, tuple(keys))
        if name not in self._groups:
            self._groups[name] = self._counted(view, keys) if keys else Estimate(1.0, "it has no keys")
        return self._groups[name]

    def types(self, view: View) -> View:
        """See `considering.Sizes`; and which of its times are never infinite, as a build would find them."""
        times = {key.column for key in view.keys if view.columns[key.column].kind in TIMES}
        finite = frozenset(name for name in times if self._is_finite(view.relation, name))
        return replace(view.typed(dict(self._described(view.select()))), finite=finite)

    def bytes(self, view: View, rows: float) -> float:
        """See `considering.Sizes`: before DuckDB has made values smaller that are alike."""
        return _HEAD + _BLOCK * ceil(rows * _width(self._described(view.select())) / _BLOCK)

    def base_bytes(self, relation: str) -> float:
        """See `considering.Sizes`."""
        return self.total(relation) * _width(self._described(f"SELECT * FROM {_source(relation)}"))  # noqa: S608

    def _counted(self, view: View, keys: Sequence[Key]) -> Estimate:
        whole = self.total(view.relation)
        share = min(1.0, SAMPLE / whole)
        sample = f" TABLESAMPLE bernoulli({100 * share:.6f}%) REPEATABLE (1)" if share < 1 else ""
        names = ", ".join(key.value.sql(dialect=ENGINE) for key in keys)
        inner = f"SELECT count(*) AS n FROM {_source(view.relation)}{sample} GROUP BY {names}"  # noqa: S608
        counts = "count(*), coalesce(sum(n), 0), count(*) FILTER (WHERE n = 1)"
        ((groups, rows, once),) = rows_of(self._cursor, f"SELECT {counts} FROM ({inner}) AS groups")  # noqa: S608
        if share == 1 or not rows:
            return Estimate(float(groups), "counted")
        return groups_of_sample(float(groups), float(rows), float(once), whole)

    def _is_finite(self, relation: str, column: str) -> bool:
        name = (relation, column)
        if name not in self._finite:
            text = f"SELECT coalesce(bool_and(isfinite({quoted(column)})), true) FROM {_source(relation)}"  # noqa: S608
            ((self._finite[name],),) = rows_of(self._cursor, text)
        return self._finite[name]

    def _described(self, sql: str) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in rows_of(self._cursor, f"DESCRIBE {sql}")]


def _width(columns: Sequence[tuple[str, str]]) -> float:
    """About how many bytes a row takes."""
    return float(sum(16 if kind.startswith(_WIDE) else 8 for _, kind in columns))


def _source(relation: str) -> str:
    return f"{relation} AS t" if relation.startswith('"') else f"({relation}) AS t"
