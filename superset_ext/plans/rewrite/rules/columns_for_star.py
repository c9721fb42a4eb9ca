"""SELECT * in a subquery could name columns; planners read only those that are used."""

from __future__ import annotations

from superset_ext.plans.rewrite.clauses import selects
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def columns_for_star(statement: Statement) -> Verdict:
    """SELECT * in a subquery: explained, and never changed."""
    verdicts = Verdicts("no subquery selects *")
    for select in selects(statement.tree)[1:]:
        if select.is_star:
            verdicts.refuse("* in a subquery gains nothing as columns: only those that are used are read further")
    return verdicts.verdict()
