"""DISTINCT in a subquery of IN or EXISTS could go; planners look only for a first match."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import clause, selects
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def unneeded_distinct(statement: Statement) -> Verdict:
    """DISTINCT in a subquery of IN or EXISTS: explained, and never changed."""
    verdicts = Verdicts("no subquery of IN or EXISTS has a DISTINCT")
    for select in selects(statement.tree)[1:]:
        place = select.parent.parent if isinstance(select.parent, exp.Subquery) else select.parent
        if isinstance(place, exp.In | exp.Exists) and clause(select, "distinct") is not None:
            verdicts.refuse("DISTINCT in IN or EXISTS costs nothing: today's planners look for the first match")
    return verdicts.verdict()
