"""t >= TO_TIMESTAMP('2025-01-01 …', '…') becomes t >= CAST('2025-01-01 …' AS TIMESTAMPTZ); see `moments.py`."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import bare
from superset_ext.plans.rewrite.kinds import kind_of
from superset_ext.plans.rewrite.moments import compared_moments, comparison_of, constant_of
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def moment_as_constant(statement: Statement) -> Verdict:
    """Moments that are compared, and that a function reads from a text, become constants.

    Must hold: the engine is PostgreSQL; the text is a moment that there is, in the format that Superset writes.
    """
    verdicts = Verdicts("nothing is compared with TO_TIMESTAMP or TO_DATE of a text")
    for function in compared_moments(statement.tree) if statement.facts.engine == "postgres" else []:
        constant = constant_of(function)
        if constant is None:
            verdicts.refuse("TO_TIMESTAMP or TO_DATE reads no text, or another one than Superset writes")
        elif statement.open.reason:
            verdicts.refuse(statement.open.reason)
        else:
            times = _times(comparison_of(function), statement)
            function.replace(constant)
            verdicts.change("a moment is worked out once, not for each row", times, statement.open.below)
    return verdicts.verdict()


def _times(comparison: exp.Expression | None, statement: Statement) -> float:
    """An index compares few rows; without one, the function is most of what a scan costs."""
    compared = bare(comparison.this) if comparison is not None else None
    column = kind_of(compared, statement.facts) if isinstance(compared, exp.Column) else None
    return 1.2 if column is not None and column.leads_index else 5.0
