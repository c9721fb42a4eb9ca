"""A LIMIT would make many statements fast; but it asks another question."""

from __future__ import annotations

from superset_ext.plans.rewrite.clauses import clause
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def row_limit(statement: Statement) -> Verdict:
    """Statements without LIMIT: explained, and never changed."""
    verdicts = Verdicts("it has a LIMIT")
    if clause(statement.tree, "limit") is None:
        verdicts.refuse("a LIMIT is another question; set the chart's row limit if fewer rows are enough")
    return verdicts.verdict()
