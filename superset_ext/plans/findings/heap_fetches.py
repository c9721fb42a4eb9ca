"""An index-only scan that visits the table all the same."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tables import quoted

KIND = "heap_fetches"
LEAST = 1_000
SHARE = 0.1  # of its rows


def heap_fetches(case: Case) -> Iterator[Verdict]:
    """Rows of an index-only scan that were looked up in the table, since the visibility map does not vouch for them."""
    for node in case.plan.nodes():
        if node.kind != "Index Only Scan" or node.actual is None:
            continue
        rows, fetches, table = node.actual.all_rows, node.number_of("Heap Fetches"), case.table(node)
        what = f"The index-only scan of {node.relation} looked up {fetches:,.0f} of {rows:,.0f} rows in the table"
        if fetches < LEAST or fetches < SHARE * rows:
            yield No(KIND, node.number, f"{what}: few enough.")
            continue
        name = table.sql if table else quoted(str(node.relation))
        yield Finding(
            KIND, node.number, f"{what}.", {"heap_fetches": fetches, "rows": rows, "share": case.plan.share(node)},
            f"VACUUM {name} marks its pages as visible to all; have autovacuum do that more often where rows are only "
            "inserted (autovacuum_vacuum_insert_scale_factor).",
            case.plan.share(node) * min(1.0, fetches / max(rows, 1.0)), "certain", f"VACUUM (ANALYZE) {name}",
        )  # fmt: skip
