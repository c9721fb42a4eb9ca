"""`cache_probe`: whose turn it is, who asks, and what came of it.

A worker asks under a lease, which ends by itself if the worker dies. What comes under a lost lease is not taken, so
that a worker that was thought dead cannot bring back an earlier answer.

Raises:
    LogUnavailable: the log database does not answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from superset_ext.core.log_database import LogDatabase, next_row
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.probe.subject import Probed
from superset_ext.settings import Probe
from superset_ext.sqltables.table import Table

ERROR_CHARACTERS = 500  # that a row holds
LEASE_SECONDS = 30.0  # beyond the probe's own timeout: for what Superset and Redis take
_KEPT = "1 day"
_ENROL = """
INSERT INTO superset_ext.cache_probe (probe, name, next_at)
SELECT probe, name, coalesce(%(now)s, now()) FROM unnest(%(keys)s, %(names)s) AS mine (probe, name)
ON CONFLICT DO NOTHING
"""
# Another worker may still run with the settings of before.
_FORGET = f"""
DELETE FROM superset_ext.cache_probe
WHERE probe <> ALL (%(keys)s) AND next_at < coalesce(%(now)s, now()) - interval '{_KEPT}'
"""  # noqa: S608
_ANSWER = "SELECT answer FROM superset_ext.cache_probe WHERE probe = %s"


@dataclass(frozen=True, slots=True)
class Claim:
    """A probe that this worker asks now.

    Attributes:
        lease: the token of the claim.
        answer: what the probe answered before, or `None` if any answer counts as a change.
        answered_at: when it last answered, or `None` if never.
        claimed_at: when it was claimed, by the log database's clock.
        failing: for how many seconds it has not answered.
        probed: what it was about when it was last asked, or `None` if that is not known.
    """

    probe: Probe
    lease: str
    answer: str | None
    answered_at: datetime | None
    claimed_at: datetime
    failing: float
    probed: Probed | None


def enrol(database: LogDatabase, probes: Sequence[Probe], now: datetime | None) -> None:
    """Give new probes a row, and remove those that nobody has asked for a day."""
    values = {"keys": [probe.key for probe in probes], "names": [probe.name for probe in probes], "now": now}
    with database.transaction() as cursor:
        cursor.execute(_ENROL, values)
        cursor.execute(_FORGET, values)


def claim(database: LogDatabase, probes: Collection[Probe], now: datetime | None, whenever: bool) -> Claim | None:
    """Claim the probe, of these, whose turn it is; `None` if it is nobody's turn.

    Args:
        now: the moment to take for now, or `None` for the log database's clock.
        whenever: claim one that nobody is asking, even if it is not its turn.
    """
    known = {probe.key: probe for probe in probes}
    values = {
        "keys": list(known), "seconds": [probe.timeout + LEASE_SECONDS for probe in known.values()], "now": now,
        "any": whenever, "lease": str(uuid4()),
    }  # fmt: skip
    if not known:
        return None
    with database.transaction() as cursor:
        cursor.execute(database.statement("probe_claimed"), values)
        row = next_row(cursor)
    return _claimed(known, row) if row else None


def _claimed(known: dict[str, Probe], row: dict[str, Any]) -> Claim:
    probe = known[row["probe"]]
    return Claim(
        probe, str(row["lease"]), row["answer"], row["answered_at"], row["claimed_at"], float(row["failing"]),
        _probed(probe, row),
    )  # fmt: skip


def _probed(probe: Probe, row: dict[str, Any]) -> Probed | None:
    if row["database_id"] is None:
        return None
    tables = () if row["table_name"] is None else (
        SourceTable(row["database_id"], Table(row["table_schema"] or "", row["table_name"])),
    )  # fmt: skip
    return Probed(probe.name, row["database_id"], tables, row["dataset_id"])


def finish(
    database: LogDatabase,
    claim: Claim,
    now: datetime | None,
    *,
    answer: str | None,
    answered: bool,
    changed: bool,
    error: str | None,
    wait: float,
    probed: Probed | None,
) -> None:
    """Write down what came of a claim. Nothing is written if its lease is lost.

    Args:
        answer: what the next answer is compared with, or `None` if any answer is to count as a change.
        answered: whether the source answered.
        changed: whether the caches were told that its data changed.
        wait: seconds from the claim to the probe's next turn.
    """
    table = probed.tables[0].table if probed and probed.tables else None
    values = {
        "probe": claim.probe.key, "lease": claim.lease, "claimed_at": claim.claimed_at, "now": now, "answer": answer,
        "answered": answered, "changed": changed, "error": error, "wait": wait,
        "database_id": probed.database_id if probed else None, "dataset_id": probed.dataset_id if probed else None,
        "table_schema": table.schema if table else None, "table_name": table.name if table else None,
    }  # fmt: skip
    with database.transaction() as cursor:
        cursor.execute(database.statement("probe_finished"), values)


def answer_of(database: LogDatabase, probe: Probe) -> str | None:
    """What a probe last answered, or `None` if any answer counts as a change."""
    rows = database.rows(_ANSWER, (probe.key,))
    return rows[0]["answer"] if rows else None
