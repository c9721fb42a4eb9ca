"""The same query, asked by several charts with other filters."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict

KIND = "other_filters"
LEAST_CHARTS = 3


def other_filters(case: Case) -> Iterator[Verdict]:
    """Statements that differ in their outermost WHERE alone, of several charts: one that groups would answer all."""
    asked = case.asked
    if asked is None or asked.alike < 2:
        return
    what = f"{asked.alike_charts} charts ask this in {asked.alike} forms that differ in their filters alone"
    if asked.alike_charts < LEAST_CHARTS:
        yield No(KIND, None, f"{what}: too few for one query to answer them.")
        return
    numbers = {"charts": asked.alike_charts, "statements": asked.alike, "seconds": asked.alike_seconds}
    yield Finding(
        KIND, None, f"{what}, for {asked.alike_seconds:,.1f} s of the source in a week.", numbers,
        "Group by the columns that are filtered, in one chart with a filter in place of several, or in a small table "
        "that answers all of them.",
        1 - 1 / asked.alike, "possible", "superset perf aggregates propose",
    )  # fmt: skip
