"""Does what is advised: tries, applies and drops indexes of one of Superset's databases, and writes down what became of
them. Only ever called because somebody asked for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import AdviceError
from superset_ext.freshness.watch.source import connect
from superset_ext.host.explaining import Asking
from superset_ext.plans.indexes.advice_log import AdviceLog, trial_of
from superset_ext.plans.indexes.advise import Proposal, advise
from superset_ext.plans.indexes.building import Named, Ours, build, drop, named, ours, refusal
from superset_ext.plans.indexes.live import Live, left, live_statements
from superset_ext.plans.indexes.measuring import Measure
from superset_ext.plans.indexes.source import reading, source_of
from superset_ext.plans.indexes.trying import Begun, Trial, Verdict
from superset_ext.plans.indexes.workload import workload

_TURN = "SELECT pg_try_advisory_lock(hashtextextended('superset_ext.indexes', 0))"
_NOW = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC')"


@dataclass(frozen=True)
class Planned:
    """What would be built on a source.

    Attributes:
        lives: statements that would be run.
        notes: what is left out, and why.
    """

    database_id: int
    database: str
    items: tuple[tuple[Named, Proposal], ...]
    lives: tuple[Live, ...]
    notes: tuple[str, ...]


def planned(
    app: Any, log: LogDatabase, database: str, budget: int | None, days: int,
    made: Callable[[int], tuple[Iterable[Asking], Callable[[], Iterable[str]]]] | None = None,
) -> Planned:  # fmt: skip
    """What advice there is for a database, with names for its indexes. Needs an app context; nothing is done.

    Args:
        made: makes statements with their values, for the id of a database, and says afterwards why some could not be;
            without it, none is looked for.

    Raises:
        UnknownDatabase: there is none of that name.
        AdviceError: it is not PostgreSQL, or does not answer.
        LogUnavailable: the log does not answer.
    """
    number, name = source_of(database)
    asked = workload(log, number, days)
    with reading(app, number) as cursor:
        advice = advise(cursor, asked, budget)
    items = tuple((named(proposal.index), proposal) for proposal in advice.proposals)
    if made is None or not items:
        return Planned(number, name, items, (), advice.notes)
    first, why = made(number)
    lives, notes = live_statements(number, asked, first)
    notes += why() if left(asked, [live.fingerprint for live in lives]) else ()
    return Planned(number, name, items, tuple(lives), (*advice.notes, *notes))


def tried(
    app: Any, log: LogDatabase, plan: Planned, rounds: int, seconds: float, wait: float, notes: list[str]
) -> Iterator[Verdict]:  # fmt: skip
    """Try the indexes of a plan; what became of each. Needs an app context.

    Args:
        notes: get what was compared, and which statements could not be run.

    Raises:
        AdviceError: the source is lost, or somebody else is at it.
        LogUnavailable: the log does not answer; the index that was being tried is dropped.
    """
    rows = AdviceLog(log, plan.database_id)
    proposals = dict(plan.items)
    with changing(app, rows, plan.database_id) as (connection, note):
        measure = Measure(connection, rounds, seconds)
        reach = {item: proposal.could_use for item, proposal in plan.items}
        notes.append(f"Compared: {measure.unit}.")
        trial = Trial(connection, measure, plan.lives, reach, f"tried {note}", wait, notes)
        with closing(trial.steps(list(proposals))) as steps:
            for step in steps:
                if isinstance(step, Begun):
                    rows.begin(step.item, proposals[step.item])
                    continue
                _write(rows, step, trial_of(measure.unit, step.changed))
                yield step


def applied(app: Any, log: LogDatabase, plan: Planned, wait: float) -> Iterator[Verdict]:
    """Build the indexes of a plan, one at a time; what became of each.

    Raises:
        AdviceError, LogUnavailable: as `tried`.
    """
    rows = AdviceLog(log, plan.database_id)
    with changing(app, rows, plan.database_id) as (connection, note):
        for item, proposal in plan.items:
            verdict = _applied(connection, rows, item, proposal, f"applied {note}", wait)
            _write(rows, verdict, None)
            yield verdict


def _applied(
    connection: Any, rows: AdviceLog, item: Named, proposal: Proposal, note: str, wait: float
) -> Verdict:  # fmt: skip
    reason = refusal(connection, item)
    if reason is not None:
        return Verdict(item, False, reason)
    rows.begin(item, proposal)
    failed = build(connection, item, note, wait)
    if failed is not None:
        return Verdict(item, False, failed.reason, left=failed.left)
    return Verdict(item, True, "it stands; what it brings is told in a day")


def dropped(
    app: Any, log: LogDatabase, database: str, names: Collection[str], wait: float
) -> Iterator[tuple[Ours, str | None]]:
    """Drop indexes that were built here, and no others; each with why it is still there, or `None`.

    Args:
        names: of indexes; empty for all.

    Raises:
        AdviceError: a name is none of ours; nothing was dropped. Else as `tried`.
    """
    number, _ = source_of(database)
    rows = AdviceLog(log, number)
    with changing(app, rows, number) as (connection, _note):
        items = ours(connection)
        unknown = sorted(set(names) - {item.name for item in items})
        if unknown:
            raise AdviceError(f"not built here, and left alone: {', '.join(unknown)}")
        for item in items:
            if not names or item.name in names:
                reason = drop(connection, item.drop, wait)
                if reason is None:
                    rows.gone(item, "dropped because somebody asked for it")
                yield item, reason


def listed(app: Any, log: LogDatabase, database: str) -> list[Ours]:
    """The indexes of a database that were built here, as the source has them.

    Raises:
        AdviceError, UnknownDatabase: as `planned`.
    """
    number, _ = source_of(database)
    with _connected(app, number) as connection:
        return ours(connection, AdviceLog(log, number).begun())


@contextmanager
def changing(app: Any, rows: AdviceLog, database_id: int) -> Iterator[tuple[Any, str]]:
    """A connection that may build, alone at it, once what an earlier run has left is dropped; and the time there.

    Raises:
        AdviceError: the source is lost, or another run is at it.
    """
    with _connected(app, database_id) as connection:
        with connection.cursor() as cursor:
            cursor.execute(_TURN)
            if not cursor.fetchone()[0]:
                raise AdviceError("another run builds or drops indexes on this source at this moment")
            cursor.execute(_NOW)
            note = str(cursor.fetchone()[0])
        connection.rollback()
        _drop_leftovers(connection, rows)
        yield connection, note


def _drop_leftovers(connection: Any, rows: AdviceLog) -> None:
    """Drop what builds and trials that were broken off have left: no end of them was written down."""
    begun = set(rows.begun())
    items = ours(connection, begun)
    for item in items:
        name = f"{item.schema}.{item.name}"
        if item.building:
            raise AdviceError(f"the index {item.name} is being built at this moment, by a run that was broken off")
        if (name in begun or not item.valid) and drop(connection, item.drop) is None:
            rows.gone(item, "its build or its trial was broken off")
    for name in begun - {f"{item.schema}.{item.name}" for item in items}:
        schema, _, index = name.rpartition(".")
        rows.change(schema, index, "dropped", "it was never built")


@contextmanager
def _connected(app: Any, database_id: int) -> Iterator[Any]:
    with connect(app, database_id) as connection:
        try:
            yield connection
        except psycopg2.Error as error:
            raise AdviceError(f"the source was lost: {first_line(error)}; run the command again, which drops what may "
                              "be left of a build") from None  # fmt: skip


def _write(rows: AdviceLog, verdict: Verdict, trial: Any) -> None:
    item = verdict.item
    state = "building" if verdict.left else "applied" if verdict.kept else "tried"
    rows.change(item.index.table.schema, item.name, state, verdict.reason, trial)
