"""TO_TIMESTAMP or TO_DATE of a text in the filter of a large scan, as Superset writes its filters of time.

PostgreSQL takes neither for a constant, since what they give may depend on the session, and works them out for each row
that the filter sees. On 5 million rows of 60 bytes that was 82 to 87 % of a scan (`python -m bench rewrites`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.findings.filter_discards import LEAST_ROWS, LEAST_SHARE

KIND = "moment_per_row"
_MOMENT = re.compile(r"\bto_(timestamp|date)\(\?(?:::text)?, \?(?:::text)?\)", re.IGNORECASE)
_OF_SCAN = 0.8  # of what the scan takes, see above


def moment_per_row(case: Case) -> Iterator[Verdict]:
    """A scan of a large table that compares each row with a moment that a function reads from a text."""
    for node in case.plan.nodes():
        table = case.table(node)
        moment = _MOMENT.search(node.conditions.get("Filter", ""))
        if moment is None or table is None or not node.reads_all:
            continue
        share = case.plan.share(node)
        what = f"The filter on {table.label} works TO_{moment[1].upper()} out for each row that it looks at"
        if table.rows < LEAST_ROWS:
            yield No(KIND, node.number, f"{what}, but there are few.")
        elif share < LEAST_SHARE:
            yield No(KIND, node.number, f"{what}, but the scan is only {share:.0%} of the plan.")
        else:
            yield Finding(
                KIND, node.number, f"{what}, {table.rows:,.0f} of them: PostgreSQL takes it for no constant.",
                {"share": share, "rows": table.rows},
                "Have charts ask with a constant of the same type, which Superset does not write by itself: the rule "
                "moment_as_constant of this package does. An index on the column works it out once too.",
                share * _OF_SCAN, "likely",
                'SUPERSET_EXT_REWRITES=\'[{"database": "*", "rules": ["moment_as_constant"]}]\'',
            )  # fmt: skip
