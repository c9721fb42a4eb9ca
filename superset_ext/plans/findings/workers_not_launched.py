"""Workers that were planned and not there."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict

KIND = "workers_not_launched"


def workers_not_launched(case: Case) -> Iterator[Verdict]:
    """A parallel plan for which the server had too few workers left."""
    for node in case.plan.nodes():
        planned, launched = node.number_of("Workers Planned"), node.number_of("Workers Launched")
        if not planned or node.actual is None:
            continue
        what = f"{launched:,.0f} of {planned:,.0f} planned workers were launched (node {node.number})"
        if launched >= planned:
            yield No(KIND, node.number, f"{what}.")
            continue
        share = case.plan.share_below(node)
        yield Finding(
            KIND, node.number, f"{what}.", {"planned": planned, "launched": launched, "share": share},
            "Others had them: raise max_parallel_workers (and max_worker_processes) where the machine has processors "
            "to spare, or lower max_parallel_workers_per_gather so that more queries get some.",
            share * (1 - (launched + 1) / (planned + 1)), "likely", "SHOW max_parallel_workers",
        )  # fmt: skip
