"""CAST(id AS text) = '12345' becomes id = 12345: no index of an integer column serves its text."""

from __future__ import annotations

import re

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import bare, compared, conjuncts, selects
from superset_ext.plans.rewrite.facts import Kind
from superset_ext.plans.rewrite.kinds import kind_of
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts

_CANONICAL = re.compile(r"0|-?[1-9][0-9]{0,17}")  # as an integer is written, and within 64 bits
_TEXTS = (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR)


def integer_as_text(statement: Statement) -> Verdict:
    """An integer column that is compared as text is compared as an integer.

    Must hold: the text is written as the engine writes an integer ('007' and '+7' equal none); the cast does not cut
    ("varchar(3)" does); the condition is one that WHERE joins by AND.
    """
    verdicts = Verdicts("no condition compares an integer column as text")
    for select in selects(statement.tree):
        for condition in conjuncts(select):
            if isinstance(condition, exp.EQ | exp.In):
                _look(condition, statement, verdicts)
    return verdicts.verdict()


def _look(condition: exp.Expression, statement: Statement, verdicts: Verdicts) -> None:
    """Change a condition, if it is one and may be."""
    cast, constants = compared(condition)
    if (
        not constants
        or not isinstance(cast, exp.Cast)
        or cast.to.this not in _TEXTS
        or not all(map(_is_text, constants))
    ):
        return
    column = kind_of(bare(cast.this), statement.facts)
    if column is None or column.kind != Kind.INTEGER or not isinstance(bare(cast.this), exp.Column):
        verdicts.refuse("what is cast to text is no integer column that is known")
    elif cast.to.expressions or isinstance(cast, exp.TryCast):
        verdicts.refuse("the cast may cut the text")
    elif not all(_CANONICAL.fullmatch(constant.name) for constant in constants):
        verdicts.refuse("a constant is not written as the engine writes an integer, and so equals none")
    elif statement.open.reason:
        verdicts.refuse(statement.open.reason)
    else:
        cast.replace(bare(cast.this).copy())
        for constant in constants:
            constant.replace(_number(constant.name))
        times = min(column.distinct or 100.0, 1000.0) if column.leads_index else 1.2
        verdicts.change(f"{column.name} is compared as an integer", max(times, 1.2), statement.open.below)


def _is_text(constant: exp.Expression) -> bool:
    return isinstance(constant, exp.Literal) and bool(constant.is_string)


def _number(text: str) -> exp.Expression:
    number = exp.Literal.number(text.lstrip("-"))
    return exp.Neg(this=number) if text.startswith("-") else number
