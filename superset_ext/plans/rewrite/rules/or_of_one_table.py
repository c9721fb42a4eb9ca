"""OR over columns of one table could be a UNION; planners combine indexes for it."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import conjuncts, joins, selects
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def or_of_one_table(statement: Statement) -> Verdict:
    """OR over columns of one table: explained, and never changed."""
    verdicts = Verdicts("no OR reads several columns of one table")
    for select in selects(statement.tree):
        for condition in conjuncts(select):
            names = {column.name for column in condition.find_all(exp.Column)}
            if isinstance(condition, exp.Or) and not joins(select) and len(names) > 1:
                verdicts.refuse("OR over columns of one table gains nothing as UNION: indexes are combined for it")
    return verdicts.verdict()
