"""Columns with more common values than their statistics have room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "statistics_skewed"
LEAST_ROWS = 10_000
FACTOR = 5.0  # the rarest value that is listed is so much more common than those that are not
REST = 0.1  # of the rows, that are not in the list
_LARGEST_TARGET = 1_000


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Columns of which values just below the list are taken for rare ones."""
    for row in rows:
        others = row["distinct_values"] - row["listed"]
        if row["rows"] < LEAST_ROWS or row["rest"] < REST or others < 1 or row["target"] >= _LARGEST_TARGET:
            continue
        times = row["least_share"] / (row["rest"] / others)
        if times >= FACTOR:
            yield _finding(row, times)


def _finding(row: Row, times: float) -> Finding:
    target = min(row["target"] * 5, _LARGEST_TARGET)
    return Finding(
        KIND, Severity.NOTICE, f"{row['relation']}.{row['column_name']}",
        f"The {row['listed']} most common values of {row['relation']}.{row['column_name']} leave out {row['rest']:.0%} "
        f"of its rows, and the last of them is {times:,.0f} times as common as the planner takes the others to be.",
        {"listed": row["listed"], "rest": row["rest"], "times": times},
        "Raise the column's statistics target and analyze: queries for the next common values are misjudged.",
        f"ALTER TABLE {row['relation']} ALTER COLUMN {row['column_name']} SET STATISTICS {target}; "
        f"ANALYZE {row['relation']}",
    )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_statistics_skewed"})
