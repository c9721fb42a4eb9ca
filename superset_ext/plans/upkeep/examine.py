"""All checks of one source, within one transaction that may only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import AdviceError
from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Unseen, Verdict
from superset_ext.plans.upkeep.checks import CHECKS

_ORDER = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What all checks say of a source: the most urgent first; and what could not be looked at."""

    findings: tuple[Finding, ...]
    unseen: tuple[Unseen, ...] = ()


def examine(cursor: Any, checks: Sequence[Check] = CHECKS) -> Upkeep:
    """Ask a source everything.

    Args:
        cursor: of psycopg2, within a transaction; a check that fails leaves it as it was.

    Raises:
        AdviceError: the source is older than PostgreSQL 14.
        psycopg2.Error: it answers no more.
    """
    version = cursor.connection.server_version
    if version < OLDEST:
        raise AdviceError(
            f"the upkeep of PostgreSQL {OLDEST // 10_000} or later is looked at; this is {version // 10_000}"
        )
    answers: dict[str, Sequence[Row] | str] = {}
    verdicts = [verdict for check in checks for verdict in _asked(cursor, check, check.query(version), answers)]
    findings = [verdict for verdict in verdicts if isinstance(verdict, Finding)]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    return Upkeep(tuple(findings), tuple(verdict for verdict in verdicts if isinstance(verdict, Unseen)))


def _asked(cursor: Any, check: Check, query: str, answers: dict[str, Sequence[Row] | str]) -> list[Verdict]:
    if query not in answers:
        answers[query] = _rows(cursor, query)
    rows = answers[query]
    if isinstance(rows, str):
        return [Unseen(check.kind, f"it could not be asked: {rows}")]
    verdicts = list(check.judge(rows))
    return check.measure(cursor, verdicts) if check.measure and verdicts else verdicts


def _rows(cursor: Any, query: str) -> Sequence[Row] | str:
    """The rows of a query, or why the source does not give them."""
    cursor.execute("SAVEPOINT upkeep")
    try:
        cursor.execute(query_text(query))
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except psycopg2.Error as error:
        if cursor.connection.closed:
            raise
        return first_line(error)
    finally:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK TO SAVEPOINT upkeep")
