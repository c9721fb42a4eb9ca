"""Constraints that nobody has held against the rows that were there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "constraints"


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Constraints that are NOT VALID: the planner may not rely on them, and rows may break them."""
    for row in rows:
        yield Finding(
            KIND, Severity.NOTICE, f"{row['relation']}: {row['name']}",
            f"The constraint {row['name']} of {row['relation']} is NOT VALID: the planner may not rely on it.", {},
            "Validate it, which blocks neither readers nor writers, but reads the whole table.",
            f"ALTER TABLE {row['relation']} VALIDATE CONSTRAINT {row['name']}",
        )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_constraints"})
