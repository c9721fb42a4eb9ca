"""JIT that takes longer than it can bring."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict

KIND = "jit_costs"
LEAST_MS = 20.0
SHARE = 0.25  # of the execution; what compiled code brings is seldom more


def jit_costs(case: Case) -> Iterator[Verdict]:
    """The time that was spent on compiling, beside that of the whole query."""
    spent, whole = case.plan.compiling_ms, case.plan.execution_ms
    if spent is None or not whole:
        return
    what = f"JIT took {spent:,.0f} ms of {whole:,.0f} ms"
    if spent < LEAST_MS or spent < SHARE * whole:
        yield No(KIND, None, f"{what}: little enough.")
        return
    yield Finding(
        KIND, None, f"{what}.", {"jit_ms": spent, "execution_ms": whole},
        "Switch JIT off for the role of the charts, or raise jit_above_cost until only longer queries are compiled.",
        spent / whole * 0.9, "certain", "ALTER ROLE … SET jit = off",
    )  # fmt: skip
