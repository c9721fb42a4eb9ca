"""An OFFSET that has many rows made and thrown away."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tree import Node

KIND = "large_offset"
LEAST_SKIPPED = 10_000.0


def large_offset(case: Case) -> Iterator[Verdict]:
    """A LIMIT node that skips most of what it reads."""
    for node in case.plan.nodes():
        if node.kind != "Limit" or not node.inputs:
            continue
        child = node.inputs[0]
        skipped = (
            child.actual.all_rows - node.actual.all_rows if child.actual and node.actual else _estimated(node, child)
        )
        if skipped >= LEAST_SKIPPED:
            yield Finding(
                KIND, node.number, f"OFFSET has {skipped:,.0f} rows made and thrown away.", {"skipped": skipped},
                "Ask for what comes after the last row that was seen (WHERE key > …) instead of counting rows.",
                case.plan.share_below(child) * 0.9, "certain" if node.actual else "likely",
                "write the condition on the sort key, and explain it again",
            )  # fmt: skip
        elif node.start_cost > child.start_cost * 1.01 + 1:
            yield No(KIND, node.number, f"OFFSET skips about {max(skipped, 0):,.0f} rows: few enough.")


def _estimated(node: Node, child: Node) -> float:
    """The rows that are made before the first one that is returned, as far as the costs say."""
    run = child.cost - child.start_cost
    return child.rows * (node.start_cost - child.start_cost) / run if run > 0 else 0.0
