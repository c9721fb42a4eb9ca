"""Plans of slow statements, as rows of `query_plan`."""

from __future__ import annotations

import json
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.plans.case import Before
from superset_ext.plans.review import Review
from superset_ext.plans.rewrite.comparison import Comparison

DOUBLED = 2.0
SHOWN = 10
# A process that finds the lock taken leaves the plan to the one that has it.
_TURN = """
SELECT pg_try_advisory_xact_lock(hashtextextended(%(fingerprint)s, 2)) AND NOT EXISTS (
    SELECT FROM superset_ext.query_plan
    WHERE fingerprint = %(fingerprint)s AND taken_at >= superset_ext.utc_today() AND duration_ms * %(doubled)s > %(ms)s
)
"""
_BEFORE = """
SELECT shape, duration_ms FROM superset_ext.query_plan WHERE fingerprint = %s ORDER BY taken_at DESC LIMIT 1
"""
_KEEP = """
INSERT INTO superset_ext.query_plan (
    fingerprint, database_id, duration_ms, version, cost, rows, shape, plan, findings, considered, rewrites
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_PLANS = """
SELECT p.fingerprint, f.sql, p.taken_at, p.database_id, p.duration_ms, p.version, p.cost, p.rows, p.shape, p.plan,
    p.findings, p.considered
FROM superset_ext.query_plan AS p
LEFT JOIN superset_ext.query_fingerprint AS f USING (fingerprint)
WHERE p.fingerprint = %s
ORDER BY p.taken_at DESC
LIMIT %s
"""

_FINDINGS = """
SELECT fingerprint, taken_at, database_id, database, dataset, chart, kind, evidence, advice, next_step, gain, sure,
    seconds, seconds_at_most
FROM superset_ext.perf_finding ORDER BY seconds_at_most DESC, gain DESC, fingerprint, kind LIMIT %s
"""
_REWRITES = """
SELECT fingerprint, taken_at, database_id, database, dataset, chart, rule, automatic, changed, times, cost, cost_after,
    only_below_rows, seconds, next_step
FROM superset_ext.perf_rewrite WHERE state = 'proposed'
ORDER BY seconds * (1 - 1 / greatest(times, 1)) DESC, fingerprint, rule LIMIT %s
"""


def is_due(cursor: Any, fingerprint: str, ms: float) -> bool:
    """Whether a plan is to be taken in this transaction: there is none of today, or the time has doubled since."""
    cursor.execute(_TURN, {"fingerprint": fingerprint, "ms": ms, "doubled": DOUBLED})
    return bool(cursor.fetchone()[0])


def before(cursor: Any, fingerprint: str) -> Before | None:
    """The plan that was kept last."""
    cursor.execute(_BEFORE, (fingerprint,))
    row = cursor.fetchone()
    return Before(row[0], row[1]) if row else None


def keep(
    cursor: Any, fingerprint: str, database_id: int, ms: float, review: Review, comparison: Comparison | None = None
) -> None:
    """Write a plan, with what it shows, and with the rules that write its statement otherwise."""
    plan, value = review.plan, review.as_dict()
    head = (fingerprint, database_id, ms, plan.version, plan.root.cost, plan.root.rows, plan.shape)
    values = [*(value[name] for name in ("plan", "findings", "considered")), _without_texts(comparison)]
    cursor.execute(_KEEP, (*head, *map(json.dumps, values)))


def _without_texts(comparison: Comparison | None) -> dict[str, Any]:
    """Which rules apply and what they bring; the texts themselves hold values."""
    if comparison is None or comparison.rewritten is None:
        return {}
    value = comparison.as_dict()
    costs = {"cost": comparison.original.cost, "cost_after": comparison.rewritten.cost}
    return {"applied": value["applied"], "only_below_rows": value["only_below_rows"], **costs}


def plans_of(database: LogDatabase, fingerprint: str) -> list[dict[str, Any]]:
    """The last plans of a statement, the latest first.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    return database.rows(_PLANS, (fingerprint, SHOWN))


def findings_of(database: LogDatabase, most: int) -> list[dict[str, Any]]:
    """What the latest plans of the last week show, what can save most first.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    return database.rows(_FINDINGS, (most,))


def rewrites_of(database: LogDatabase, most: int) -> list[dict[str, Any]]:
    """How statements of the last week's plans could be written otherwise, what should save most first.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    return database.rows(_REWRITES, (most,))
