"""Moments that a function reads from a text, as Superset writes its filters of time on PostgreSQL, and their constants.

PostgreSQL works TO_TIMESTAMP and TO_DATE out anew for each row that a filter sees, since what they give depends on the
session. A text that is cast is a constant as soon as the statement is parsed: the same moment, of the same type.
"""

from __future__ import annotations

import re
from datetime import datetime

from sqlglot import exp

_COMPARISONS = exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.Between | exp.In
# How Superset writes them, as sqlglot reads the format; and the type that each gives.
_WRITTEN: dict[type[exp.Expression], tuple[str, re.Pattern[str], str]] = {
    exp.StrToTime: (
        "%Y-%m-%d %H:%M:%S.%f", re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6}", re.ASCII), "timestamptz",
    ),
    exp.StrToDate: ("%Y-%m-%d", re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII), "date"),
}  # fmt: skip


def compared_moments(tree: exp.Expression) -> list[exp.Expression]:
    """The functions of a tree that read a moment and are compared with something."""
    return [node for node in tree.find_all(*_WRITTEN) if isinstance(comparison_of(node), _COMPARISONS)]


def comparison_of(node: exp.Expression) -> exp.Expression | None:
    """What a node stands in, its parentheses aside."""
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    return parent


def constant_of(function: exp.Expression) -> exp.Expression | None:
    """The constant that is the same moment, of the same type; `None` where the text is not as Superset writes it."""
    written, shape, name = _WRITTEN[type(function)]
    text = function.this
    is_text = isinstance(text, exp.Literal) and text.is_string
    if not is_text or function.text("format") != written or not _is_moment(text.name, shape):
        return None
    return exp.cast(text.copy(), name)


def with_constants(tree: exp.Expression, engine: str) -> None:
    """Put constants in the places of moments that are compared."""
    for function in compared_moments(tree) if engine == "postgres" else []:
        if (constant := constant_of(function)) is not None:
            function.replace(constant)


def _is_moment(text: str, shape: re.Pattern[str]) -> bool:
    if not shape.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
