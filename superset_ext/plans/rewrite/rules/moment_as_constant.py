"""t >= TO_TIMESTAMP('2025-01-01 …', '…') becomes t >= CAST('2025-01-01 …' AS TIMESTAMPTZ): Superset's filters of time.

PostgreSQL works TO_TIMESTAMP and TO_DATE out anew for each row that a filter sees, since what they give depends on the
session. A text that is cast is a constant as soon as the statement is parsed: the same moment, of the same type.
"""

from __future__ import annotations

import re
from datetime import datetime

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import bare
from superset_ext.plans.rewrite.kinds import kind_of
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts

_COMPARISONS = exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.Between | exp.In
# How Superset writes them, as sqlglot reads the format; and the type that each gives.
_WRITTEN: dict[type[exp.Expression], tuple[str, re.Pattern[str], str]] = {
    exp.StrToTime: (
        "%Y-%m-%d %H:%M:%S.%f", re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6}", re.ASCII), "timestamptz",
    ),
    exp.StrToDate: ("%Y-%m-%d", re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII), "date"),
}  # fmt: skip


def moment_as_constant(statement: Statement) -> Verdict:
    """Moments that are compared, and that a function reads from a text, become constants.

    Must hold: the engine is PostgreSQL; the text is a moment that there is, in the format that Superset writes.
    """
    verdicts = Verdicts("nothing is compared with TO_TIMESTAMP or TO_DATE of a text")
    if statement.facts.engine == "postgres":
        for function in list(statement.tree.find_all(*_WRITTEN)):
            if isinstance(_around(function), _COMPARISONS):
                _look(function, statement, verdicts)
    return verdicts.verdict()


def _around(node: exp.Expression) -> exp.Expression | None:
    """What a node stands in, its parentheses aside."""
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    return parent


def _look(function: exp.Expression, statement: Statement, verdicts: Verdicts) -> None:
    """Put a constant in the place of a function, if that may be."""
    written, shape, name = _WRITTEN[type(function)]
    text = function.this
    is_text = isinstance(text, exp.Literal) and text.is_string
    if not is_text or function.text("format") != written or not _is_moment(text.name, shape):
        verdicts.refuse("TO_TIMESTAMP or TO_DATE reads no text, or another one than Superset writes")
    elif statement.open.reason:
        verdicts.refuse(statement.open.reason)
    else:
        times = _times(_around(function), statement)
        function.replace(exp.cast(text.copy(), name))
        verdicts.change("a moment is worked out once, not for each row", times, statement.open.below)


def _is_moment(text: str, shape: re.Pattern[str]) -> bool:
    if not shape.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _times(comparison: exp.Expression | None, statement: Statement) -> float:
    """An index compares few rows; without one, the function is most of what a scan costs."""
    compared = bare(comparison.this) if comparison is not None else None
    column = kind_of(compared, statement.facts) if isinstance(compared, exp.Column) else None
    return 1.2 if column is not None and column.leads_index else 5.0
