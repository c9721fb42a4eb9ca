"""Probes as rows: whose turn it is, who asks, and what came of it.

A probe is taken under a lease, which ends by itself where its worker dies. What comes under another lease is not
taken, so that a worker that was thought dead does not bring back an earlier answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.rows import next_row
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.probe.question import Probed
from superset_ext.settings import Probe
from superset_ext.sqltables.table import Table

ERROR_CHARACTERS = 500  # that a row holds
LEASE_SECONDS = 30.0  # beyond the probe's own time: for what Superset and Redis take
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
_CLAIM = """
WITH due AS (
    SELECT p.probe, mine.seconds FROM superset_ext.cache_probe p
        JOIN unnest(%(keys)s, CAST(%(seconds)s AS float8[])) AS mine (probe, seconds) USING (probe)
    WHERE (%(any)s OR p.next_at <= coalesce(%(now)s, now()))
        AND (p.lease_until IS NULL OR p.lease_until <= coalesce(%(now)s, now()))
    ORDER BY p.failed_since NULLS FIRST, p.next_at LIMIT 1
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE superset_ext.cache_probe p SET lease = CAST(%(lease)s AS uuid),
    lease_until = coalesce(%(now)s, now()) + make_interval(secs => due.seconds)
FROM due WHERE p.probe = due.probe
RETURNING p.probe, p.lease, p.answer, p.answered_at, coalesce(%(now)s, now()) AS claimed_at,
    coalesce(extract(epoch FROM coalesce(%(now)s, now()) - p.failed_since), 0) AS failing,
    p.database_id, p.table_schema, p.table_name, p.dataset_id
"""
_FINISH = """
UPDATE superset_ext.cache_probe SET answer = %(answer)s,
    answered_at = CASE WHEN %(answered)s THEN coalesce(%(now)s, now()) ELSE answered_at END,
    changed_at = CASE WHEN %(changed)s THEN coalesce(%(now)s, now()) ELSE changed_at END,
    failed_since = CASE WHEN NOT %(answered)s THEN coalesce(failed_since, %(claimed_at)s) END,
    error = %(error)s, next_at = %(claimed_at)s + make_interval(secs => %(wait)s), lease = NULL, lease_until = NULL,
    database_id = coalesce(%(database_id)s, database_id), table_schema = coalesce(%(table_schema)s, table_schema),
    table_name = coalesce(%(table_name)s, table_name), dataset_id = coalesce(%(dataset_id)s, dataset_id)
WHERE probe = %(probe)s AND lease = CAST(%(lease)s AS uuid)
"""
_ROWS = """
SELECT probe, database_id, table_schema, table_name, dataset_id, answer IS NULL AS owed, answered_at, changed_at,
    failed_since, error, next_at, extract(epoch FROM now() - failed_since) AS failing,
    CASE WHEN lease_until > now() THEN 0 ELSE extract(epoch FROM now() - next_at) END AS late
FROM superset_ext.cache_probe WHERE probe = ANY (%s)
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A probe that this worker asks now.

    Attributes:
        lease: token of that.
        answer: what it answered before, `None` where whatever comes counts as a change.
        answered_at: when it last answered, `None` for never.
        claimed_at: when it was taken, by the log database's clock.
        failing: seconds for which it has not answered.
        probed: what it was about when it was last asked, `None` where that is not known.
    """

    probe: Probe
    lease: str
    answer: str | None
    answered_at: datetime | None
    claimed_at: datetime
    failing: float
    probed: Probed | None


def enrol(database: LogDatabase, probes: Sequence[Probe], now: datetime | None) -> None:
    """Give new probes a row, and take those away that nobody has asked for a day.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    values = {"keys": [each.key for each in probes], "names": [each.name for each in probes], "now": now}
    with database.transaction() as cursor:
        cursor.execute(_ENROL, values)
        cursor.execute(_FORGET, values)


def claim(database: LogDatabase, probes: Collection[Probe], now: datetime | None, whenever: bool) -> Claim | None:
    """Take the one of these probes whose turn it is; those that answer come before those that do not.

    Args:
        whenever: take one that nobody is asking, even where it is not its turn.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    known = {probe.key: probe for probe in probes}
    values = {
        "keys": list(known), "seconds": [each.timeout + LEASE_SECONDS for each in known.values()], "now": now,
        "any": whenever, "lease": str(uuid4()),
    }  # fmt: skip
    if not known:
        return None
    with database.transaction() as cursor:
        cursor.execute(_CLAIM, values)
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
    """Write down what came of a probe; from who has lost the lease that is not taken.

    Args:
        answer: to compare the next one with, `None` where whatever comes counts as a change.
        answered: whether the source answered.
        changed: whether the caches were told that its data changed.
        wait: seconds from the claim to its next turn.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    table = probed.tables[0].table if probed and probed.tables else None
    values = {
        "probe": claim.probe.key, "lease": claim.lease, "claimed_at": claim.claimed_at, "now": now, "answer": answer,
        "answered": answered, "changed": changed, "error": error, "wait": wait,
        "database_id": probed.database_id if probed else None, "dataset_id": probed.dataset_id if probed else None,
        "table_schema": table.schema if table else None, "table_name": table.name if table else None,
    }  # fmt: skip
    with database.transaction() as cursor:
        cursor.execute(_FINISH, values)


def answer_of(database: LogDatabase, probe: Probe) -> str | None:
    """What a probe last answered, `None` where whatever comes counts as a change.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    rows = database.rows("SELECT answer FROM superset_ext.cache_probe WHERE probe = %s", (probe.key,))
    return rows[0]["answer"] if rows else None


def rows(database: LogDatabase, probes: Collection[Probe]) -> dict[str, dict[str, Any]]:
    """The rows of these probes by their key.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    found = database.rows(_ROWS, ([probe.key for probe in probes],))
    return {row.pop("probe"): row for row in found}
