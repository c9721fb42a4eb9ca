"""Statements that can be run, with their values: those of the log's fingerprints, which has none.

They are what charts would ask now, and what people have lately sent from SQL Lab, as Superset remembers it; and before
these, whatever a caller has made of requests. They are never written anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from superset_ext.errors import PlanError
from superset_ext.host.databases import database_of
from superset_ext.host.explaining import Asking, charts_on, of_chart
from superset_ext.host.sql_lab import sent_lately
from superset_ext.monitor.log.fingerprint import Statements
from superset_ext.plans.indexes.workload import Asked
from superset_ext.plans.one_select import one_select

_NAMED = 3  # statements in a note


@dataclass(frozen=True)
class Live:
    """A statement that can be run.

    Attributes:
        fingerprint: of it without values.
        sql: one SELECT, with its values.
        schema: where names without one are looked up; `None` for the role's own.
        calls: that the log has of it.
    """

    fingerprint: str
    sql: str
    calls: int = 1
    schema: str | None = None


def live_statements(
    database_id: int, asked: Sequence[Asked], first: Iterable[Asking] = ()
) -> tuple[list[Live], list[str]]:
    """The statements that can be run, each fingerprint once, and why others cannot. Needs an app context, in which the
    rows that the current user sees are asked for.

    Args:
        first: statements that were made of something else; charts and SQL Lab's history are asked for the rest alone.
    """
    lives: dict[str, Live] = {}
    notes: list[str] = []
    _take(first, database_id, asked, lives, notes)
    if rest := left(asked, lives):
        saved = _askings(database_id, rest, notes if not first else [])  # what a chart lacks may be told once, below
        _take(saved, database_id, rest, lives, notes)
    if rest := left(asked, lives):
        seconds = sum(item.seconds for item in rest)
        made = "a request that can be made again, " if first else ""
        notes.append(
            f"{len(rest)} of {len(asked)} statements ({seconds:.0f} s of the log) left out: the log keeps no "
            f"values, and neither {made}a chart as it is saved nor SQL Lab's history has them{_names(rest)}"
        )
    return list(lives.values()), notes


def _names(rest: Sequence[Asked]) -> str:
    """The costliest of them, for `perf explain --fingerprint`."""
    costliest = sorted(rest, key=lambda item: -item.seconds)[:_NAMED]
    return f" (fingerprints: {', '.join(item.fingerprint for item in costliest)}{', …' * (len(rest) > _NAMED)})"


def left(asked: Iterable[Asked], lives: Collection[str]) -> list[Asked]:
    """Those of which there is no statement that can be run."""
    return [item for item in asked if item.fingerprint not in lives]


def _take(
    askings: Iterable[Asking], database_id: int, asked: Sequence[Asked], lives: dict[str, Live], notes: list[str]
) -> None:
    """Take those that are in the log, until each statement of it is there."""
    by_print = {item.fingerprint: item for item in asked}
    engine = str(database_of(database_id).db_engine_spec.engine)
    numbers = Statements()
    for asking in askings:
        fingerprint = numbers.of(asking.posed or asking.sql, engine, database_id).fingerprint
        item = by_print.pop(fingerprint, None)
        if item is None:
            continue
        try:
            lives[fingerprint] = Live(fingerprint, one_select(asking.sql, engine), item.calls, asking.schema)
        except PlanError as error:
            notes.append(f"statement {fingerprint} is not run: {error}")
        if not by_print:
            return


def _askings(database_id: int, asked: Iterable[Asked], notes: list[str]) -> Iterator[Asking]:
    charts = [number for item in asked for number in item.charts]
    charts += charts_on({number for item in asked if not item.charts for number in item.datasets})
    for chart in dict.fromkeys(charts):
        try:
            yield from (asking for asking in of_chart(chart) if asking.database.id == database_id)
        except PlanError as error:
            notes.append(str(error))
    yield from sent_lately(database_id)
