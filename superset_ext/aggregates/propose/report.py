"""Proposals for one of Superset's databases, with the names that people know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.aggregates.opened import source_named
from superset_ext.aggregates.over import EXACT, Allowed
from superset_ext.aggregates.propose.asks import Asked
from superset_ext.aggregates.propose.considering import Proposal, Proposed
from superset_ext.aggregates.propose.engines import propose_of
from superset_ext.aggregates.tables.definition import Upkeep
from superset_ext.core.log_database import LogDatabase
from superset_ext.host.names import object_names
from superset_ext.host.people import Identity
from superset_ext.plans.indexes.live import Live, left, live_statements
from superset_ext.plans.indexes.workload import Asked as Logged
from superset_ext.plans.indexes.workload import workload
from superset_ext.warm.asked_again import Requests


@dataclass(frozen=True)
class Report:
    """What to build on one of Superset's databases.

    Attributes:
        days: of the log that it was made from.
        names: of charts and datasets, by their kind and id.
        notes: what was left out, and why.
        allowed: what answers may differ by.
        upkeep: how aggregates are mostly kept up there.
    """

    database: str
    days: int
    proposed: Proposed
    names: Mapping[tuple[str, int], str]
    notes: tuple[str, ...]
    allowed: Allowed
    upkeep: Upkeep


def report(
    app: Any, log: LogDatabase, named: str, budget: int | None, days: int, identity: Identity | None = None,
    allowed: Allowed = EXACT,
) -> Report:  # fmt: skip
    """Proposals for the database that somebody names. Needs an app context.

    Args:
        identity: as whom requests are made anew; `None`: each as whoever has made it. Of charts that were saved and
            never asked for since, what the current user sees is asked for.
        allowed: what answers may differ by.

    Raises:
        UnknownDatabase: there is none of that name.
        AdviceError: no aggregates are built for its engine, or it does not answer.
        WatchError: it cannot be connected to.
        AggregateError: none could be built there.
        LogUnavailable: the log does not answer.
    """
    number, name = source_named(named)
    propose, upkeep = propose_of(number)
    logged = workload(log, number, days)
    requests = Requests(app, log, number, days, identity)
    lives, notes = live_statements(number, logged, requests.statements())
    proposed = propose(app, number, list(_asked(lives, logged, days)), budget, allowed)
    names = {(kind, id_): label for kind, id_, label in object_names()}
    if left(logged, [live.fingerprint for live in lives]):
        notes += requests.notes()
    return Report(name, days, proposed, names, tuple(notes), allowed, upkeep)


def _asked(lives: Sequence[Live], logged: Sequence[Logged], days: int) -> list[Asked]:
    """The statements that have values, with what they take a day."""
    by_print = {one.fingerprint: one for one in logged}
    return [
        Asked(
            live.fingerprint, live.sql, live.schema, one.seconds / days, one.calls / days, one.charts, one.datasets
        )
        for live in lives
        if (one := by_print.get(live.fingerprint)) is not None
    ]  # fmt: skip


def as_dict(result: Report) -> dict[str, Any]:
    """Proposals as JSON has them."""
    proposed = result.proposed
    return {
        "database": result.database, "budget_bytes": proposed.budget, "seconds_a_day": proposed.seconds,
        "answerable": proposed.answerable, "served": proposed.served, "held": proposed.held,
        "notes": list(result.notes), "setting": setting(result), "days": result.days,
        "proposals": [_proposal(one, result) for one in proposed.proposals],
        "refused": [
            {"reason": one.reason, "statements": one.statements, "seconds_a_day": one.seconds}
            for one in proposed.refused
        ],
    }  # fmt: skip


def build_command(one: Proposal, database: str) -> list[str]:
    """The command that builds it, word by word."""
    schema = next((asked.schema for asked in one.serves if asked.schema), None)
    named = ["--schema", schema] if schema else []
    words = ["superset", "perf", "aggregates", "build", "--database", database, *named, "--name", one.name]
    return [*words, "--sql", one.view.select()]


def setting(result: Report) -> str:
    """The value of the setting that has charts on this database answered from aggregates."""
    allowed = {name: True for name in ("floats", "loose", "ties") if getattr(result.allowed, name)}
    return json.dumps([{"database": result.database, **allowed}], ensure_ascii=False)


def _proposal(one: Proposal, result: Report) -> dict[str, Any]:
    names = result.names
    return {
        "name": one.name, "build": build_command(one, result.database),
        "create": list(one.view.create()), "drop": one.view.drop(), "relation": one.view.relation,
        "rows": one.estimate.rows, "rows_estimated": one.estimate.how, "base_rows": one.base_rows, "bytes": one.bytes,
        "seconds_saved_a_day": one.seconds, "writes_a_day": one.writes_a_day,
        "fingerprints": [asked.fingerprint for asked in one.serves],
        **{f"{kind}s": [{"id": number, "name": names.get((kind, number), f"#{number}")} for number in who(one, kind)]
           for kind in ("chart", "dataset")},
    }  # fmt: skip


def who(one: Proposal, kind: str) -> list[int]:
    """The ids of charts or datasets that gain."""
    return sorted({number for asked in one.serves for number in getattr(asked, f"{kind}s")})
