"""IN and EXISTS could be a join; planners run both as a semi-join, and a join would repeat rows."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import conjuncts, selects
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def semi_join(statement: Statement) -> Verdict:
    """IN and EXISTS with a subquery: explained, and never changed."""
    verdicts = Verdicts("no condition is IN or EXISTS of a subquery")
    for select in selects(statement.tree):
        for condition in conjuncts(select):
            if isinstance(condition, exp.Exists) or (isinstance(condition, exp.In) and condition.args.get("query")):
                verdicts.refuse(
                    "IN and EXISTS run as a semi-join already; as a join, duplicates inside would repeat rows"
                )
    return verdicts.verdict()
