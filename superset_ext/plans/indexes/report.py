"""Advice for Superset's databases, one after the other, with the names that people know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import AdviceError, WatchError
from superset_ext.host.databases import databases_of_people
from superset_ext.host.names import object_names
from superset_ext.plans.indexes.advice_log import AdviceLog, Standing
from superset_ext.plans.indexes.advise import Advice, Proposal, advise
from superset_ext.plans.indexes.source import reading, source_of
from superset_ext.plans.indexes.workload import workload


@dataclass(frozen=True)
class SourceAdvice:
    """What to do about the indexes of one of Superset's databases.

    Attributes:
        advice: `None` where the source could not be asked.
        error: why; else empty.
        names: of charts and datasets, by their kind and id.
        standing: indexes that were built as advised, with what they have brought.
    """

    database: str
    advice: Advice | None
    error: str
    names: Mapping[tuple[str, int], str]
    standing: Sequence[Standing] = ()


def advice_of(app: Any, log: LogDatabase, named: str | None, budget: int | None, days: int) -> list[SourceAdvice]:
    """Advice for the database that somebody names, or for each that is PostgreSQL. Needs an app context.

    Raises:
        UnknownDatabase: there is none of that name.
        AdviceError: the one that is named is not PostgreSQL, or does not answer.
        LogUnavailable: the log does not answer.
    """
    names = {(kind, number): name for kind, number, name in object_names()}
    if named is not None:
        number, name = source_of(named)
        return [_source_advice(app, log, number, name, names, budget, days)]
    results = []
    for number, name in databases_of_people("postgresql"):
        try:
            results.append(_source_advice(app, log, number, name, names, budget, days))
        except (AdviceError, WatchError) as error:
            results.append(SourceAdvice(name, None, str(error), names))
    return results


def _source_advice(
    app: Any, log: LogDatabase, database_id: int, name: str, names: Mapping[tuple[str, int], str], budget: int | None,
    days: int,
) -> SourceAdvice:  # fmt: skip
    asked = workload(log, database_id, days)
    with reading(app, database_id) as cursor:
        advice = advise(cursor, asked, budget)
    return SourceAdvice(name, advice, "", names, AdviceLog(log, database_id).standing())


def as_dict(result: SourceAdvice) -> dict[str, Any]:
    """Advice as JSON has it."""
    advice = result.advice
    if advice is None:
        return {"database": result.database, "error": result.error}
    return {
        "database": result.database, "budget_bytes": advice.budget, "costed": advice.after is not None,
        "seconds": advice.seconds, "seconds_after": advice.after, "notes": list(advice.notes),
        "proposals": [_proposal(proposal, result.names) for proposal in advice.proposals],
        "standing": [
            {"index": item.name, "definition": item.definition, "state": item.state, "applied_at": item.applied_at,
             "reason": item.reason, "statements": dict(item.brought), "slower": list(item.slower), "drop": item.drop}
            for item in result.standing
        ],
        "needless": [
            {"kind": item.kind, "index": item.existing.name, "table": str(item.existing.table), "reason": item.reason,
             "bytes": item.existing.bytes, "scans": item.existing.scans, "drop": item.existing.drop}
            for item in advice.needless
        ],
    }  # fmt: skip


def _proposal(proposal: Proposal, names: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    gains = proposal.gains
    return {
        "create": proposal.index.create, "drop": proposal.index.drop, "table": str(proposal.index.table),
        "bytes": proposal.bytes, "seconds_saved": proposal.seconds, "seconds_that_could_use_it": proposal.reach,
        "writes_a_day": proposal.writes_a_day, "wal_bytes_a_day": proposal.wal_a_day,
        "fingerprints": [item.fingerprint for item in gains],
        **{f"{kind}s": [{"id": number, "name": names.get((kind, number), f"#{number}")}
                        for number in sorted({number for item in gains for number in getattr(item, f"{kind}s")})]
           for kind in ("chart", "dataset")},
    }  # fmt: skip
