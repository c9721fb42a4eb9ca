"""Advice for indexes as rows of `advice_log`: which are advised, are being built, stand, or are gone; what they bring.

No value of a query comes into it: definitions are made of statements whose values were left out, and statements are
named by their fingerprints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from superset_ext.core.amount import amount
from superset_ext.core.log_database import LogDatabase
from superset_ext.plans.indexes.advise import Proposal
from superset_ext.plans.indexes.building import Named, Ours
from superset_ext.plans.indexes.index import quoted
from superset_ext.plans.indexes.measuring import WORSE, Compared

FOLLOWED = timedelta(days=1)  # after which the log says what an index has brought
PATIENCE = timedelta(days=7)  # in which somebody must have asked
TRIED = timedelta(days=30)  # for which a trial counts; the data are others by then
# What was advised is built under a name of its own.
_IS_BUILT = """
DELETE FROM superset_ext.advice_log WHERE database_id = %s AND definition = %s AND state = 'proposed'
"""
_LOCK = "LOCK TABLE superset_ext.advice_log IN SHARE ROW EXCLUSIVE MODE"
_ADVISED_NO_MORE = """
DELETE FROM superset_ext.advice_log WHERE database_id = %s AND state = 'proposed' AND definition <> ALL(%s)
"""
# What stands or is being built is not advised again, and what was tried not before long.
_SETTLED = """
SELECT DISTINCT definition FROM superset_ext.advice_log WHERE database_id = %s AND (
    state IN ('building', 'applied', 'brought') OR state = 'tried' AND changed_at > now() - %s)
"""
_CHANGE = """
UPDATE superset_ext.advice_log SET state = %(state)s, reason = %(reason)s, changed_at = now(),
    trial = coalesce(%(trial)s, trial),
    applied_at = CASE WHEN %(state)s = 'applied' THEN now() WHEN %(state)s = 'brought' THEN applied_at END
WHERE database_id = %(database_id)s AND schema_name = %(schema)s AND index_name = %(name)s
"""
_BEGUN = """
SELECT schema_name || '.' || index_name AS name FROM superset_ext.advice_log
WHERE database_id = %s AND state = 'building'
"""
_STANDING = """
SELECT id, schema_name, index_name, definition, state, reason, seconds, fingerprints, trial, applied_at, brought,
    now() AS now
FROM superset_ext.advice_log WHERE database_id = %s AND state IN ('applied', 'brought') ORDER BY applied_at, id
"""
_BROUGHT = """
UPDATE superset_ext.advice_log SET state = 'brought', brought = %s, reason = %s, changed_at = now() WHERE id = %s
"""


@dataclass(frozen=True)
class Standing:
    """An index that stands, as the log knows it.

    Attributes:
        state: applied or brought.
        reason: what it has brought, or when that is known, in words.
        slower: statements whose median is over a twentieth longer than before.
    """

    schema: str
    name: str
    definition: str
    state: str
    reason: str
    applied_at: datetime
    brought: Mapping[str, Mapping[str, Any]]
    slower: tuple[str, ...] = ()

    @property
    def drop(self) -> str:
        """The statement that takes it away."""
        return f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(self.schema)}.{quoted(self.name)};"


class AdviceLog:
    """The rows of one of Superset's databases.

    Raises:
        LogUnavailable: of every method; the log does not answer.
    """

    def __init__(self, log: LogDatabase, database_id: int) -> None:
        self._log, self._database_id = log, database_id

    def begin(self, item: Named, proposal: Proposal) -> None:
        """An index is about to be built."""
        with self._log.transaction() as cursor:
            cursor.execute(_IS_BUILT, (self._database_id, item.index.definition))
            cursor.execute(self._log.statement("index_advised"), self._columns(proposal, item.name, "building"))

    def propose(self, proposals: Sequence[Proposal]) -> None:
        """Make these what is advised; what stands, is being built or was tried of late is as it was."""
        with self._log.transaction() as cursor:
            cursor.execute(_LOCK)
            cursor.execute(_SETTLED, (self._database_id, TRIED))
            settled = {definition for (definition,) in cursor.fetchall()}
            new = [proposal for proposal in proposals if proposal.index.definition not in settled]
            cursor.execute(_ADVISED_NO_MORE, (self._database_id, [proposal.index.definition for proposal in new]))
            for proposal in new:
                name = proposal.index.name
                cursor.execute(self._log.statement("index_advised"), self._columns(proposal, name, "proposed"))

    def _columns(self, proposal: Proposal, name: str, state: str) -> dict[str, Any]:
        index, gains = proposal.index, proposal.gains
        return {
            "database_id": self._database_id, "schema_name": index.table.schema, "index_name": name,
            "definition": index.definition, "state": state, "bytes": proposal.bytes, "seconds": proposal.seconds,
            "fingerprints": list(proposal.could_use), "table_name": str(index.table),
            "reach_seconds": proposal.reach, "writes_a_day": proposal.writes_a_day,
            "wal_bytes_a_day": proposal.wal_a_day,
            "charts": sorted({number for item in gains for number in item.charts}),
            "datasets": sorted({number for item in gains for number in item.datasets}),
        }  # fmt: skip

    def change(self, schema: str, name: str, state: str, reason: str, trial: Mapping[str, Any] | None = None) -> None:
        """What became of it."""
        values = {"database_id": self._database_id, "schema": schema, "name": name, "state": state, "reason": reason}
        with self._log.transaction() as cursor:
            cursor.execute(_CHANGE, values | {"trial": None if trial is None else json.dumps(trial)})

    def begun(self) -> list[str]:
        """Names, with their schemas, of indexes whose build began and of which no end is known."""
        return [row["name"] for row in self._log.rows(_BEGUN, (self._database_id,))]

    def gone(self, item: Ours, reason: str) -> None:
        """An index was dropped."""
        self.change(item.schema, item.name, "dropped", reason)

    def standing(self) -> list[Standing]:
        """The indexes that stand; what those have brought that were built a day ago or more is worked out."""
        return [self._standing(row) for row in self._log.rows(_STANDING, (self._database_id,))]

    def _standing(self, row: Mapping[str, Any]) -> Standing:
        state, reason, brought = row["state"], row["reason"], row["brought"] or {}
        age = row["now"] - row["applied_at"]
        if state == "applied" and age >= FOLLOWED:
            brought = self._worked_out(row, row["applied_at"] + FOLLOWED) or self._worked_out(row, row["now"])
            if brought or age >= PATIENCE:
                state, reason = "brought", _in_words(brought)
                with self._log.transaction() as cursor:
                    cursor.execute(_BROUGHT, (json.dumps(brought), reason, row["id"]))
        slower = [name for name, item in brought.items() if item["ms_after"] > item["ms_before"] * WORSE]
        return Standing(
            row["schema_name"], row["index_name"], row["definition"], state, reason, row["applied_at"], brought,
            tuple(slower),
        )  # fmt: skip

    def _worked_out(self, row: Mapping[str, Any], until: datetime) -> dict[str, dict[str, Any]]:
        """The statements that were asked before and after."""
        values = {"database_id": self._database_id, "until": until}
        values |= {name: row[name] for name in ("applied_at", "fingerprints")}
        names = ("calls_before", "calls_after", "ms_before", "ms_after")
        return {
            item["fingerprint"]: {name: item[name] for name in names}
            for item in self._log.query("index_brought", values)
            if item["calls_before"] and item["calls_after"]
        }


def _in_words(brought: Mapping[str, Mapping[str, Any]]) -> str:
    if not brought:
        return f"nobody has asked in {PATIENCE.days} days what could use it"
    before, after = (sum(item["calls_after"] * item[f"ms_{side}"] for item in brought.values()) / 1000
                     for side in ("before", "after"))  # fmt: skip
    return f"{amount(len(brought), 'statement')} took {after:,.1f} s since, and {before:,.1f} s before, by the medians"


def trial_of(unit: str, changed: Sequence[Compared]) -> dict[str, Any] | None:
    """What a trial measured, as `advice_log` keeps it; `None` where nothing was."""
    if not changed:
        return None
    statements = {one.live.fingerprint: [one.before.seconds, one.after.seconds] for one in changed}
    return {"unit": unit, "statements": statements}
