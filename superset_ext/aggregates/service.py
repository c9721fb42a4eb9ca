"""The aggregates of Superset's databases: planned, built, brought up to date, compared, listed and dropped.

Everything here needs an app context.

Raises:
    UnknownDatabase: Superset has no database of this name or id.
    AdviceError: no aggregates are built for its engine.
    WatchError: it does not answer.
    AggregateError: it refuses, or what is asked for is not there.
    LogUnavailable: the log database does not answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from superset_ext.aggregates.opened import opened, source_named
from superset_ext.aggregates.source import Source
from superset_ext.aggregates.tables import checking
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.aggregates.tables.definition import (
    EVERY_SECONDS,
    Definition,
    Upkeep,
    checked_name,
    indexed,
    named_base,
)
from superset_ext.aggregates.tables.refreshing import Busy
from superset_ext.aggregates.tables.renewing import Refreshed
from superset_ext.aggregates.tables.rights import Unnoted
from superset_ext.aggregates.tables.transaction import LOCK_SECONDS
from superset_ext.aggregates.view import View, quoted
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.warn_once import warn
from superset_ext.errors import AggregateError, SupersetExtError

SCHEDULE_SECONDS = 3600  # between two times that all of an aggregate is made anew
_REMEMBER = "INSERT INTO superset_ext.aggregate_source (database_id) VALUES (%s) ON CONFLICT DO NOTHING"
_FORGET = "DELETE FROM superset_ext.aggregate_source WHERE database_id = %s"
_SOURCES = "SELECT database_id FROM superset_ext.aggregate_source ORDER BY 1"
_NOT_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Wanted:
    """How an aggregate is to be built and kept up.

    Attributes:
        name: `None` for one that is made up.
        schema: where names without one are looked up; `None` for the role's own path.
        filters: columns that readers filter by.
        upkeep: `None` for what the base allows.
        every_seconds: how often it is looked at; `None` for what its upkeep is mostly good for.
        tail: the column of time whose end rows are added to.
        late_seconds: how late such rows may come.
    """

    name: str | None = None
    schema: str | None = None
    filters: Sequence[str] = ()
    upkeep: Upkeep | None = None
    every_seconds: int | None = None
    tail: str | None = None
    late_seconds: int = 0


@dataclass(frozen=True)
class Plan:
    """An aggregate that could be built.

    Attributes:
        statements: what would be run.
        notes: what somebody should know before.
    """

    database_id: int
    database: str
    definition: Definition
    statements: tuple[str, ...]
    notes: tuple[str, ...] = ()


def planned(app: Any, database: str, asked: str | View, wanted: Wanted) -> Plan:
    """What would be built for a statement, or of a view that somebody has worked out; nothing is done."""
    number, title = source_named(database)
    with opened(app, number) as source:
        path = source.path(wanted.schema)
        view = asked if isinstance(asked, View) else source.view_of(asked, path)
        definition = _definition(view, path, wanted, source.upkeep)
        try:
            definition, statements = source.planned(definition)
            notes: tuple[str, ...] = ()
        except Unnoted as reason:
            if wanted.upkeep is not None:
                raise
            every = wanted.every_seconds or SCHEDULE_SECONDS
            definition = replace(definition, upkeep="schedule", every_seconds=every)
            definition, statements = source.planned(definition)
            notes = (f"All of it is made anew every {every} s: {reason}",)
    return Plan(number, title, definition, tuple(statements), notes)


def built(app: Any, log: LogDatabase, plan: Plan, lock_seconds: float = LOCK_SECONDS) -> Refreshed:
    """Build what was planned."""
    with log.transaction() as cursor:  # before the source is written to: what is left there can be found by this
        cursor.execute(_REMEMBER, (plan.database_id,))
    with opened(app, plan.database_id) as source:
        return source.build(plan.definition, lock_seconds)


def refreshed(app: Any, database: str, names: Collection[str], whole: bool) -> Iterator[tuple[str, Refreshed | str]]:
    """Bring aggregates up to date, all without names; each with what was done, or why it was not possible."""
    for source, one in _chosen(app, database, names):
        try:
            yield one.name, source.refresh(one.name, whole)
        except AggregateError as error:
            yield one.name, str(error)


def checked(app: Any, database: str, names: Collection[str]) -> Iterator[tuple[str, checking.Checked | str]]:
    """Compare aggregates with their bases, all without names; each with what came of it, or why it was not possible."""
    for source, one in _chosen(app, database, names):
        try:
            yield one.name, source.check(one.name)
        except AggregateError as error:
            yield one.name, str(error)


def dropped(
    app: Any, log: LogDatabase, database: str, names: Collection[str], lock_seconds: float = LOCK_SECONDS
) -> Iterator[tuple[str, str]]:
    """Drop aggregates, all without names; each with why it is still there, or `""`."""
    number, _ = source_named(database)
    for source, one in _chosen(app, database, names):
        try:
            source.drop(one.name, lock_seconds)
            yield one.name, ""
        except AggregateError as error:
            yield one.name, str(error)
    with opened(app, number) as source:
        is_bare = not source.kept()
    if is_bare:
        with log.transaction() as writing:
            writing.execute(_FORGET, (number,))


def listed(app: Any, database: str) -> list[Kept]:
    """The aggregates of a database, as its source has them at this moment."""
    number, _ = source_named(database)
    with opened(app, number) as source:
        return source.kept()


def sources(log: LogDatabase) -> list[int]:
    """Superset's databases on which aggregates were built."""
    return [int(row["database_id"]) for row in log.rows(_SOURCES)]


def removed(app: Any, log: LogDatabase, number: int) -> list[str]:
    """Drop all aggregates of a database, with everything of ours on its source; their names."""
    with opened(app, number) as source:
        names = source.drop_all()
    with log.transaction() as cursor:
        cursor.execute(_FORGET, (number,))
    return names


def kept_up(app: Any, number: int) -> list[Refreshed]:
    """Bring those aggregates of a database up to date whose turn it is. What fails says so in the catalogue and the log
    of this process, and holds up none of the others."""
    done = []
    with opened(app, number) as source:
        due = [one.name for one in source.kept() if is_due(one)]
        for name in due:
            try:
                done.append(source.refresh(name, whole=False))
            except Busy:
                continue
            except SupersetExtError as error:
                warn(f"aggregate {number} {name}", "the aggregate %s of database %d is not refreshed: %s", name, number,
                     error)  # fmt: skip
    return done


def is_due(one: Kept) -> bool:
    """Whether it is an aggregate's turn: by its age; one that is exact need not be looked at."""
    if one.state != "ready" or one.is_exact:
        return False
    return one.age_seconds is None or one.age_seconds >= one.definition.every_seconds


def _chosen(app: Any, database: str, names: Collection[str]) -> Iterator[tuple[Source, Kept]]:
    number, _ = source_named(database)
    with opened(app, number) as source:
        known = source.kept()
        if unknown := sorted(set(names) - {one.name for one in known}):
            raise AggregateError(f"not built here: {', '.join(unknown)}; see: superset perf aggregates list")
        for one in known:
            if not names or one.name in names:
                yield source, one


def _definition(view: View, path: tuple[str, ...], wanted: Wanted, mostly: Upkeep) -> Definition:
    upkeep: Upkeep = wanted.upkeep or ("tail" if wanted.tail else mostly)
    every = wanted.every_seconds or (EVERY_SECONDS if upkeep == mostly else SCHEDULE_SECONDS)
    tail = indexed(view, [wanted.tail])[0] if wanted.tail else None
    definition = Definition(
        "unnamed", view, path, None, indexed(view, wanted.filters), upkeep, every, tail, wanted.late_seconds
    )
    name = checked_name(wanted.name or _name(definition))
    return replace(definition, name=name, view=replace(view, table=f"superset_ext_aggregates.{quoted(name)}"))


def _name(definition: Definition) -> str:
    """A name for what has none: its table's, and a part of the digest."""
    base = named_base(definition.view)
    stem = "query" if base is None else base.rpartition('."')[2].strip('"').lower()
    return f"agg_{_NOT_A_NAME.sub('_', stem)[:24].strip('_')}_{definition.digest[:6]}"
