"""Other texts for a slow statement, with the same answer: the rules, in their order.

A rule is a file with one function. It takes a statement (`statement.py`), changes it where all that it needs holds, and
says in words why it did not elsewhere. What has to hold is known from the source's catalogue (`facts.py`,
`catalogue/`), and the answer has to be settled by the statement (`settled.py`). Of sqlglot's own optimizer nothing is
used: its rules gave 13 wrong answers of 84.
"""

from __future__ import annotations

from superset_ext.plans.rewrite.rewriting import Rewriting, Rule, rewritten
from superset_ext.plans.rewrite.rules.columns_for_star import columns_for_star
from superset_ext.plans.rewrite.rules.correlated_aggregate import correlated_aggregate
from superset_ext.plans.rewrite.rules.count_distinct import count_distinct
from superset_ext.plans.rewrite.rules.extract_range import extract_range
from superset_ext.plans.rewrite.rules.filter_into_cte import filter_into_cte
from superset_ext.plans.rewrite.rules.having_on_keys import having_on_keys
from superset_ext.plans.rewrite.rules.integer_as_decimal import integer_as_decimal
from superset_ext.plans.rewrite.rules.integer_as_text import integer_as_text
from superset_ext.plans.rewrite.rules.moment_as_constant import moment_as_constant
from superset_ext.plans.rewrite.rules.not_in import not_in
from superset_ext.plans.rewrite.rules.or_across_join import or_across_join
from superset_ext.plans.rewrite.rules.or_of_one_table import or_of_one_table
from superset_ext.plans.rewrite.rules.pushed_filter import pushed_filter
from superset_ext.plans.rewrite.rules.row_limit import row_limit
from superset_ext.plans.rewrite.rules.semi_join import semi_join
from superset_ext.plans.rewrite.rules.unneeded_distinct import unneeded_distinct
from superset_ext.plans.rewrite.rules.unneeded_order import unneeded_order

# What may be switched on for charts: each brings three times or more where it applies, and never another answer.
AUTOMATIC: tuple[Rule, ...] = (
    unneeded_order, moment_as_constant, extract_range, integer_as_text, integer_as_decimal,
)  # fmt: skip

# What a person is shown, with both plans and both times: it helps often, and not always.
ADVICE: tuple[Rule, ...] = (or_across_join, filter_into_cte, correlated_aggregate, not_in, count_distinct)

# What gains nothing on today's planners, or asks another question: these say so, and change nothing.
EXPLAINED: tuple[Rule, ...] = (
    pushed_filter, semi_join, having_on_keys, unneeded_distinct, columns_for_star, or_of_one_table, row_limit,
)  # fmt: skip

ALL: tuple[Rule, ...] = (*AUTOMATIC, *ADVICE, *EXPLAINED)

__all__ = ["ADVICE", "ALL", "AUTOMATIC", "EXPLAINED", "Rewriting", "Rule", "rewritten"]
