"""All parts of a partitioned table are read, though the query wants some."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tables import Table
from superset_ext.plans.terms import columns_in
from superset_ext.plans.tree import Node

KIND = "partitions_not_pruned"
LEAST_PARTITIONS = 4
_KEY = re.compile(r"\((.*)\)$")


def partitions_not_pruned(case: Case) -> Iterator[Verdict]:
    """A partitioned table of which no part was left out."""
    parts: dict[str, list[tuple[Node, Table]]] = defaultdict(list)
    for node in case.plan.nodes():
        table = case.table(node)
        if table is not None and table.parent and table.partitions >= LEAST_PARTITIONS:
            parts[table.parent].append((node, table))
    for parent, scans in parts.items():
        yield _verdict(case, parent, scans)


def _verdict(case: Case, parent: str, scans: list[tuple[Node, Table]]) -> Verdict:
    node, table = scans[0]
    read, keys = len({part.name for _, part in scans}), _keys(table.partition_key or "")
    pruned = max((above.number_of("Subplans Removed") for above in case.plan.nodes()), default=0.0)
    what = f"{read} of {table.partitions} partitions of {parent} are read"
    if read + pruned < table.partitions or pruned:
        return No(KIND, node.number, f"{what}; the others are left out.")
    filtered = [key for key in keys if key in columns_in(node.texts, node.alias or table.name)]
    share = min(1.0, sum(case.plan.share_below(scan) for scan, _ in scans))
    numbers = {"read": float(read), "partitions": float(table.partitions), "share": share}
    if filtered:
        advice = (
            f"The query filters {filtered[0]}, but not in a way that leaves out partitions: compare the column itself "
            "with values that are known when the query is planned, without a function or cast around it."
        )
        return Finding(
            KIND, node.number, f"{what}, although the query filters {filtered[0]}.", numbers, advice, share, "likely",
            f"write a plain range of {filtered[0]}, and explain it again",
        )  # fmt: skip
    if not keys:
        return No(KIND, node.number, f"{what}; they are made by an expression.")
    return Finding(
        KIND, node.number, f"{what}: the query does not filter {keys[0]}, by which they are made.", numbers,
        f"A filter on {keys[0]}, such as a time range on the dashboard, would leave out the others, if that is what is "
        "meant.", share / 2, "possible", f"add a filter on {keys[0]}",
    )  # fmt: skip


def _keys(definition: str) -> list[str]:
    """The columns of a key such as `RANGE (ds)`; none where an expression is among them."""
    match = _KEY.search(definition)
    parts = [part.strip().strip('"') for part in match[1].split(",")] if match else []
    return parts if all(re.fullmatch(r"[\w$ ]+", part) for part in parts) else []
