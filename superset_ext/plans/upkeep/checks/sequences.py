"""Sequences near their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict, hidden

KIND = "sequences"
SHARE = 0.75
NEAR = 0.9


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Sequences that have given three quarters of their numbers, or of those that their column can hold."""
    for row in rows:
        share = (row["given"] or 0.0) / row["all_numbers"]
        if share >= SHARE:
            yield _finding(row, share)
    yield from hidden(KIND, sum(not row["seen"] for row in rows), "sequences")


def _finding(row: Row, share: float) -> Finding:
    column = row["column_name"]
    at_column = column and row["ends_at_column"]
    what = f"those that {row['table_name']}.{column} can hold" if at_column else "its numbers"
    if column:
        command = f"ALTER TABLE {row['table_name']} ALTER COLUMN {column} TYPE bigint"
    else:
        command = f"ALTER SEQUENCE {row['relation']} AS bigint"
    return Finding(
        KIND, Severity.CRITICAL if share >= NEAR else Severity.WARNING, row["relation"],
        f"{row['relation']} has given {share:.0%} of {what}; after the last, every INSERT fails.", {"share": share},
        "Make the column and the sequence bigint. Changing the column rewrites its table under a lock: plan it, or "
        "fill a second column and swap them.", command,
    )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_sequences"})
