"""id = 12345.0 becomes id = 12345: the engine turns every value of the column into a decimal before it compares."""

from __future__ import annotations

import re

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import compared, conjuncts, selects
from superset_ext.plans.rewrite.facts import Kind
from superset_ext.plans.rewrite.kinds import kind_of
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts

# At most 15 digits: DuckDB reads what is longer, or has an exponent, as a double, which holds no more than these.
_WHOLE = re.compile(r"([0-9]{1,15})\.0{0,10}")
_COMPARISONS = exp.EQ | exp.GT | exp.GTE | exp.LT | exp.LTE


def integer_as_decimal(statement: Statement) -> Verdict:
    """An integer column that is compared with decimals is compared with integers.

    Must hold: the decimals have no fraction; the condition is one that WHERE joins by AND.
    """
    verdicts = Verdicts("no condition compares an integer column with a decimal")
    for select in selects(statement.tree):
        for condition in conjuncts(select):
            if isinstance(condition, _COMPARISONS | exp.In):
                _look(condition, statement, verdicts)
    return verdicts.verdict()


def _look(condition: exp.Expression, statement: Statement, verdicts: Verdicts) -> None:
    """Change a condition, if it is one and may be."""
    tested, constants = compared(condition)
    decimals = [constant for constant in constants if "." in _digits(constant)]
    if not isinstance(tested, exp.Column) or not decimals or not all(map(_digits, constants)):
        return
    column = kind_of(tested, statement.facts)
    if column is None or column.kind != Kind.INTEGER:
        verdicts.refuse("what is compared with a decimal is no integer column that is known")
    elif not all(_WHOLE.fullmatch(_digits(constant)) or _digits(constant).isdigit() for constant in constants):
        verdicts.refuse("a constant has a fraction, or more digits than a double holds")
    elif statement.open.reason:
        verdicts.refuse(statement.open.reason)
    else:
        for constant in decimals:
            literal = constant.this if isinstance(constant, exp.Neg) else constant
            literal.replace(exp.Literal.number(str(int(_digits(constant).partition(".")[0]))))
        times = min(column.distinct or 100.0, 1000.0) if column.leads_index else 1.2
        verdicts.change(f"{column.name} is compared with an integer", max(times, 1.2), statement.open.below)


def _digits(constant: exp.Expression) -> str:
    """A number as it is written, without its sign; empty, if this is none."""
    literal = constant.this if isinstance(constant, exp.Neg) else constant
    return literal.name if isinstance(literal, exp.Literal) and not literal.is_string else ""
