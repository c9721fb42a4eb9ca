"""Divided tables that have no part for what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "partitions_missing"


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Tables whose last part ends within one part's length from now."""
    for row in rows:
        ahead, length = row["days_ahead"], row["days_each"]
        if ahead >= length or -ahead > 2 * length + 1:  # one that ended long ago is history that nobody adds to
            continue
        goes = "rows go to the default part" if row["has_default"] else "INSERT fails"
        when = f"ends in {ahead:,.1f} days" if ahead > 0 else f"ended {-ahead:,.1f} days ago"
        severity = Severity.CRITICAL if ahead <= 0 and not row["has_default"] else Severity.WARNING
        yield Finding(
            KIND, severity, row["relation"],
            f"The last of the {row['parts']} parts of {row['relation']} {when} (a part is {length:,.1f} days); then "
            f"{goes}. The oldest begins {row['oldest_days']:,.0f} days ago.",
            {"days_ahead": ahead, "days_each": length, "parts": row["parts"], "oldest_days": row["oldest_days"]},
            "Make parts ahead, by pg_partman or a job that does this before each of them begins. Of those that are "
            f"older than you keep data, the oldest first: ALTER TABLE {row['relation']} DETACH PARTITION "
            f"{row['oldest']}{'' if row['has_default'] else ' CONCURRENTLY'}, then drop it; that takes no time, and "
            "DELETE does.",
            f"CREATE TABLE {row['next_part']} PARTITION OF {row['relation']} FOR VALUES FROM ('{row['next_from']}') "
            f"TO ('{row['next_to']}')",
        )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_partitions"})
