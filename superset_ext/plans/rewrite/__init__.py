"""Other texts for a slow statement, with the same answer: the rules, in their order.

A rule is a file with one function. It takes a statement (`statement.py`), changes it where all that it needs holds, and
says in words why it did not elsewhere. What has to hold is known from the source's catalogue (`facts.py`,
`catalogue/`), and the answer has to be settled by the statement (`settled.py`). Of sqlglot's own optimizer nothing is
used: its rules gave 13 wrong answers of 84.
"""

from __future__ import annotations

from superset_ext.plans.rewrite.rewriting import Rewriting, Rule, rewritten
from superset_ext.plans.rewrite.rules.extract_range import extract_range
from superset_ext.plans.rewrite.rules.integer_as_decimal import integer_as_decimal
from superset_ext.plans.rewrite.rules.integer_as_text import integer_as_text
from superset_ext.plans.rewrite.rules.unneeded_order import unneeded_order

# What may be switched on for charts: each brings three times or more where it applies, and never another answer.
AUTOMATIC: tuple[Rule, ...] = (unneeded_order, extract_range, integer_as_text, integer_as_decimal)

__all__ = ["AUTOMATIC", "Rewriting", "Rule", "rewritten"]
