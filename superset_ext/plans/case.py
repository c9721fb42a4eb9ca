"""What a rule is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sqlglot import exp

from superset_ext.plans.asked import Asked
from superset_ext.plans.tables import Table, Tables, table_of
from superset_ext.plans.tree import Node, Plan
from superset_ext.sqltables.statement import dialect_of, statements

Sure = Literal["certain", "likely", "possible"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a plan that costs more than it must.

    Attributes:
        kind: the name of its rule.
        node: the number of the node that it is about; `None` where it is about the whole.
        evidence: what was seen, in a sentence without values.
        numbers: the figures of that sentence.
        advice: what to do.
        gain: the share of the query's time or cost that this can save at most, from 0 to 1.
        sure: whether the evidence was measured (`certain`), or how good the estimates behind it are.
        next_step: what to run, or to look at, to know more.
    """

    kind: str
    node: int | None
    evidence: str
    numbers: Mapping[str, float]
    advice: str
    gain: float
    sure: Sure
    next_step: str

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class No:
    """Why a rule that was considered advises nothing.

    Attributes:
        kind: the name of the rule.
        node: as of a finding.
        reason: one sentence without values.
    """

    kind: str
    node: int | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Before:
    """An earlier plan of the same query.

    Attributes:
        shape: of it.
        ms: milliseconds that the query took then.
    """

    shape: str
    ms: float


@dataclass(frozen=True, slots=True)
class Case:
    """A query, its plan, and what its source knows of its tables.

    Attributes:
        query: the query, parsed; `None` where it cannot be. No rule repeats a value of it.
        ms: milliseconds that it took when people asked it; `None` where that is not known.
        before: the plan that was kept before this one.
        asked: what else is asked like it; `None` where that is not known.
    """

    plan: Plan
    tables: Tables
    query: exp.Expression | None
    ms: float | None = None
    before: Before | None = None
    asked: Asked | None = None

    def table(self, node: Node) -> Table | None:
        """The table that a node reads."""
        return table_of(self.tables, node)


Verdict = Finding | No
Rule = Callable[[Case], Iterator[Verdict]]


def parsed(sql: str, engine: str) -> exp.Expression | None:
    """A query as sqlglot parses it; `None` where it does not."""
    dialect = dialect_of(engine)
    try:
        return statements(sql, dialect)[0].tree() if dialect is not None else None
    except Exception:  # noqa: BLE001  (a parser may raise anything over text that somebody typed)
        return None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What all rules say of a case: findings, what can save most first; and why others advise nothing."""

    findings: tuple[Finding, ...] = ()
    considered: tuple[No, ...] = field(default=())
