"""A plan of another shape than before, since when the query takes another time."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict

KIND = "plan_changed"
FACTOR = 2.0


def plan_changed(case: Case) -> Iterator[Verdict]:
    """A change of shape together with a change of time."""
    before, ms = case.before, case.ms
    if before is None or ms is None or before.shape == case.plan.shape:
        return
    what = f"The plan is another one, and the query takes {ms:,.0f} ms, not {before.ms:,.0f}"
    numbers = {"before_ms": before.ms, "ms": ms}
    if ms < before.ms * FACTOR:
        yield No(KIND, None, f"{what}: {'faster' if ms * FACTOR <= before.ms else 'about as long'}.")
        return
    yield Finding(
        KIND, None, f"{what}.", numbers,
        "Compare both plans: an index that is gone, statistics that are new or old, a table that has grown.",
        1 - before.ms / ms, "likely", "GET /api/v1/performance/plans/<fingerprint>",
    )  # fmt: skip
