"""HAVING on a key could be WHERE; planners move it there by themselves."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import clause, selects
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def having_on_keys(statement: Statement) -> Verdict:
    """HAVING that names no aggregate: explained, and never changed."""
    verdicts = Verdicts("no HAVING is on keys alone")
    for select in selects(statement.tree):
        having = clause(select, "having")
        if having is not None and clause(select, "group") is not None and not having.find(exp.AggFunc):
            verdicts.refuse("HAVING on keys gains nothing as WHERE: today's planners filter before they group")
    return verdicts.verdict()
