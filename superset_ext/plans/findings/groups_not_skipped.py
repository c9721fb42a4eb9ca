"""A scan of a DuckDB table whose filter keeps few rows, and that reads all groups of rows for them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tables import Table
from superset_ext.plans.tree import Node

KIND = "groups_not_skipped"
GROUP = 122_880  # rows of which DuckDB knows the least and the greatest value of each column
LEAST_ROWS = 4 * GROUP
LEAST_SHARE = 0.1
MOST_KEPT = 0.05
MOST_SCANNED = 0.5  # of the table
_COMPARED = re.compile(r'\(*"?([^\W\d]\w*)"?\)*\s*(?:=|<|>|BETWEEN|IN\b)', re.IGNORECASE)


def groups_not_skipped(case: Case) -> Iterator[Verdict]:
    """A scan, once it was run: only then it is known how many rows were read."""
    for node in case.plan.nodes():
        table = case.table(node)
        is_filtered = node.kind == "Seq Scan" and node.actual is not None and "Filter" in node.conditions
        if is_filtered and table is not None and node.number_of("Rows Scanned") >= LEAST_ROWS:
            yield _verdict(case, node, table)


def _verdict(case: Case, node: Node, table: Table) -> Verdict:
    scanned, rows = node.number_of("Rows Scanned"), node.actual.rows if node.actual is not None else 0.0
    kept, share = rows / scanned, case.plan.share(node)
    columns = [name for name in _COMPARED.findall(node.conditions["Filter"]) if name in table.columns]
    what = f"The filter on {table.name} keeps {kept:.1%} of {scanned:,.0f} rows that were read"
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{what}, but the scan is only {share:.0%} of the plan.")
    if kept > MOST_KEPT:
        return No(KIND, node.number, f"{what}: most groups of rows have some.")
    if scanned < MOST_SCANNED * table.rows:
        return No(KIND, node.number, f"{what}, of {table.rows:,.0f}: the others were skipped.")
    if not columns:
        return No(KIND, node.number, f"{what}, but it compares no plain column, whose order would serve it.")
    return Finding(
        KIND, node.number, f"{what}, and none of its groups of {GROUP:,} rows could be skipped.",
        {"kept": kept, "scanned": scanned, "share": share},
        f"Write the table in the order of {columns[0]}: DuckDB knows the least and the greatest value of each group of "
        "rows, and then skips those without any. Queries that filter by the order it has now lose that.",
        share * (1 - kept), "likely", f"CREATE TABLE … AS FROM {table.sql} ORDER BY {table.columns_sql(columns[:1])}",
    )  # fmt: skip
