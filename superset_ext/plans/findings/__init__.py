"""What a plan shows: a rule is a function in a file of its own, and this tuple is all of them.

A rule is pure: from a plan, from what the source knows of its tables, and from the query, to findings; where it has
considered something and advises nothing, to the reason. It repeats no value.
"""

from __future__ import annotations

from superset_ext.plans.case import Case, Finding, No, Rule, Verdicts
from superset_ext.plans.findings.barrier import barrier
from superset_ext.plans.findings.correlated_subquery import correlated_subquery
from superset_ext.plans.findings.count_distinct import count_distinct
from superset_ext.plans.findings.extended_statistics import extended_statistics
from superset_ext.plans.findings.filter_after_index import filter_after_index
from superset_ext.plans.findings.filter_discards import filter_discards
from superset_ext.plans.findings.function_on_column import function_on_column
from superset_ext.plans.findings.groups_not_skipped import groups_not_skipped
from superset_ext.plans.findings.heap_fetches import heap_fetches
from superset_ext.plans.findings.jit_costs import jit_costs
from superset_ext.plans.findings.large_offset import large_offset
from superset_ext.plans.findings.leading_wildcard import leading_wildcard
from superset_ext.plans.findings.lossy_bitmap import lossy_bitmap
from superset_ext.plans.findings.moment_per_row import moment_per_row
from superset_ext.plans.findings.nested_loop import nested_loop
from superset_ext.plans.findings.not_in_nullable import not_in_nullable
from superset_ext.plans.findings.or_over_columns import or_over_columns
from superset_ext.plans.findings.other_filters import other_filters
from superset_ext.plans.findings.partitions_not_pruned import partitions_not_pruned
from superset_ext.plans.findings.plan_changed import plan_changed
from superset_ext.plans.findings.rows_misjudged import rows_misjudged
from superset_ext.plans.findings.select_star import select_star
from superset_ext.plans.findings.shared_subquery import shared_subquery
from superset_ext.plans.findings.spilled import spilled
from superset_ext.plans.findings.statistics_old import statistics_old
from superset_ext.plans.findings.unneeded_distinct import unneeded_distinct
from superset_ext.plans.findings.unneeded_order import unneeded_order
from superset_ext.plans.findings.workers_not_launched import workers_not_launched

RULES: tuple[Rule, ...] = (
    plan_changed, filter_discards, moment_per_row, function_on_column, or_over_columns, leading_wildcard,
    filter_after_index, nested_loop, correlated_subquery, not_in_nullable, unneeded_order, unneeded_distinct, barrier,
    large_offset, count_distinct, shared_subquery, other_filters, partitions_not_pruned, spilled, lossy_bitmap,
    heap_fetches, extended_statistics, rows_misjudged, statistics_old, workers_not_launched, jit_costs, select_star,
)  # fmt: skip

# What holds for DuckDB, which has no index that a chart would use, decorrelates by itself, and hashes what it can.
DUCKDB: tuple[Rule, ...] = (
    plan_changed, groups_not_skipped, not_in_nullable, unneeded_order, unneeded_distinct, shared_subquery,
    other_filters,
)  # fmt: skip


def verdicts(case: Case) -> Verdicts:
    """What all rules say of a case: what can save most first, and among equals in the order of the rules."""
    rules = DUCKDB if case.plan.engine == "duckdb" else RULES
    results = [verdict for rule in rules for verdict in rule(case)]
    findings = [verdict for verdict in results if isinstance(verdict, Finding)]
    findings.sort(key=lambda finding: -finding.gain)
    return Verdicts(tuple(findings), tuple(verdict for verdict in results if isinstance(verdict, No)))
