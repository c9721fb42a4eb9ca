"""A sort, hash or aggregate that did not fit into its memory and wrote to disk."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tree import Node

KIND = "spilled"
# A row takes more room in memory than in a sort's file.
_IN_MEMORY = 2.5
_LARGEST_KB = 1024 * 1024  # more than that for one query is not to be recommended
_STEPS_KB = tuple(1024 * 2**power for power in range(11))


def spilled(case: Case) -> Iterator[Verdict]:
    """What was written to disk for want of `work_mem`, as counted when the query was run."""
    for node in case.plan.nodes():
        kb = _on_disk_kb(node)
        if kb:
            yield _verdict(case, node, kb)
        elif node.actual is not None and node.words.get("Sort Space Type") == "Memory" and node.actual.rows > 10_000:
            yield No(KIND, node.number, f"The sort took {node.number_of('Sort Space Used'):,.0f} kB, in memory.")


def _on_disk_kb(node: Node) -> float:
    if node.words.get("Sort Space Type") == "Disk":
        return node.number_of("Sort Space Used")
    if node.kind == "Hash" and node.number_of("Hash Batches") > 1:
        return node.number_of("Hash Batches") * node.number_of("Peak Memory Usage")
    return node.number_of("Disk Usage")


def _verdict(case: Case, node: Node, kb: float) -> Verdict:
    needed = needed_kb(node, kb)
    share = case.plan.share(node)
    what = f"The {_name(node)} (node {node.number}) wrote {kb / 1024:,.1f} MB to disk"
    if needed > _LARGEST_KB:
        return No(
            KIND, node.number,
            f"{what}; {needed / 1024:,.0f} MB of memory for one query is too much: have it sort or join less.",
        )  # fmt: skip
    mb = next(step for step in _STEPS_KB if step >= needed) // 1024
    return Finding(
        KIND, node.number, f"{what}.", {"disk_kb": kb, "needed_kb": needed, "share": share},
        f"With work_mem = {mb} MB it would stay in memory. Each such step of each query may take that much: set it for "
        "the role or the database of the charts, not for the whole server.",
        share / 2, "likely", f"ALTER ROLE … SET work_mem = '{mb}MB'",
    )  # fmt: skip


def needed_kb(node: Node, kb: float) -> float:
    """The memory in which a step would have stayed, in kB."""
    if node.kind == "Hash":
        return node.number_of("Hash Batches") * node.number_of("Peak Memory Usage") * 1.2
    if node.kind == "Aggregate":
        return kb + node.number_of("Peak Memory Usage") * _IN_MEMORY
    return kb * _IN_MEMORY


def _name(node: Node) -> str:
    return {"Sort": "sort", "Incremental Sort": "sort", "Hash": "hash of a join"}.get(node.kind, "aggregate")
