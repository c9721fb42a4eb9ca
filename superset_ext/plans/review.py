"""A query explained: its plan, what that shows, and how both are said."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from superset_ext.plans.asked import Asked
from superset_ext.plans.case import Before, Case, Finding, No, Verdicts, parsed
from superset_ext.plans.draw import drawing
from superset_ext.plans.explain import SECONDS, Explained, explain
from superset_ext.plans.explain_duckdb import explain_duckdb
from superset_ext.plans.findings import verdicts
from superset_ext.plans.tree import Plan, plan_of

_WIDTH = 110
_INDENT = "   "


@dataclass(frozen=True, slots=True)
class Review:
    """What a query's plan shows.

    Attributes:
        plan: without values.
        verdicts: of all rules.
    """

    plan: Plan
    verdicts: Verdicts

    @property
    def drawing(self) -> str:
        """The plan as a tree to read."""
        return drawing(self.plan)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "plan": self.plan.as_dict(), "drawing": self.drawing,
            "findings": [finding.as_dict() for finding in self.verdicts.findings],
            "considered": [no.as_dict() for no in self.verdicts.considered],
        }  # fmt: skip

    def text(self) -> str:
        """All of it, for a person."""
        return "\n\n".join([self.drawing, *_paragraphs(self.verdicts)])


def review_of(row: Mapping[str, Any]) -> Review:
    """The review that a row of `query_plan` holds."""
    findings = tuple(Finding(**finding) for finding in row["findings"])
    return Review(plan_of(row["plan"]), Verdicts(findings, tuple(No(**no) for no in row["considered"])))


def review(
    connection: Any, sql: str, seconds: float = SECONDS, analyze: bool = False, refuses_volatile: bool = False
) -> Review:
    """Explain one SELECT over a connection, see `explain.explain`, and judge its plan.

    Raises:
        PlanError: it is not one SELECT that only reads, or the source did not explain it.
    """
    return judged(explained_by(connection, sql, seconds, analyze, refuses_volatile=refuses_volatile), sql)


def explained_by(
    connection: Any, sql: str, seconds: float, analyze: bool = False, most: int | None = None,
    refuses_volatile: bool = False,
) -> Explained:  # fmt: skip
    """What a source says of a query, whichever engine it is; the arguments are those of `explain.explain`.

    Raises:
        SourceBusy, PlanError: as there.
    """
    if hasattr(connection, "server_version"):
        return explain(connection, sql, seconds, analyze, most, refuses_volatile)
    return explain_duckdb(connection, sql, seconds, analyze)


def judged(
    explained: Explained, sql: str, ms: float | None = None, before: Before | None = None, asked: Asked | None = None
) -> Review:
    """What all rules say of a plan; `ms`, `before` and `asked` are those of a `Case`."""
    plan = explained.plan
    return Review(plan, verdicts(Case(plan, explained.tables, parsed(sql, plan.engine), ms, before, asked)))


def _paragraphs(results: Verdicts) -> Iterator[str]:
    if not results.findings:
        yield "Nothing in this plan asks for a change."
    for number, finding in enumerate(results.findings, 1):
        yield _paragraph(number, finding)
    if results.considered:
        lines = [f"- {no.kind}{f', node {no.node}' if no.node else ''}: {no.reason}" for no in results.considered]
        yield "\n".join(["Considered, and not advised:", *(_filled(line, "  ") for line in lines)])


def _paragraph(number: int, finding: Finding) -> str:
    gain = f"up to {finding.gain:.0%} of the query" if finding.gain >= 0.01 else "a better plan; how much is not known"
    lines = (f"Do: {finding.advice}", f"Brings: {gain} ({finding.sure})", f"Next: {finding.next_step}")
    first = _filled(f"{number}. {finding.evidence} [{finding.kind}]", _INDENT)
    return "\n".join([first, *(_filled(line, _INDENT, _INDENT) for line in lines)])


def _filled(line: str, following: str, first: str = "") -> str:
    return textwrap.fill(line, _WIDTH, initial_indent=first, subsequent_indent=following)
