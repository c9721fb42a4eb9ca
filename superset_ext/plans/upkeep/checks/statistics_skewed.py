"""Columns with more common values than their statistics have room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "statistics_skewed"
LEAST_ROWS = 100_000  # fewer are read in no time, whatever the plan
FACTOR = 5.0  # the rarest value that is listed is so much more common than those that are not
REST = 0.1  # of the rows, that are not in the list
_LARGEST_TARGET = 1_000
_SHOWN = 5  # columns, beside the one that is worst


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Tables with columns of which values just below the list are taken for rare ones; one finding a table."""
    for relation, columns in groupby(rows, key=lambda row: str(row["relation"])):
        skewed = [(row, times) for row in columns if (times := _times(row)) >= FACTOR]
        if skewed:
            yield _finding(relation, sorted(skewed, key=lambda item: -item[1]))


def _times(row: Row) -> float:
    """How much more common the last value of the list is than those that are not in it are taken to be; 0 where that
    does not matter."""
    others = row["distinct_values"] - row["listed"]
    if row["rows"] < LEAST_ROWS or row["rest"] < REST or others < 1 or row["target"] >= _LARGEST_TARGET:
        return 0.0
    return float(row["least_share"] / (row["rest"] / others))


def _finding(relation: str, skewed: Sequence[tuple[Row, float]]) -> Finding:
    row, times = skewed[0]
    names = [item["column_name"] for item, _ in skewed]
    more = f" So it is with {', '.join(names[1 : _SHOWN + 1])}" if names[1:] else ""
    rest = f" and {len(names) - 1 - _SHOWN} more" if len(names) > _SHOWN + 1 else ""
    changes = ", ".join(
        f"ALTER COLUMN {item['column_name']} SET STATISTICS {min(item['target'] * 5, _LARGEST_TARGET)}"
        for item, _ in skewed
    )
    return Finding(
        KIND, Severity.NOTICE, relation,
        f"The {row['listed']} most common values of {relation}.{row['column_name']} leave out {row['rest']:.0%} of its "
        f"rows, and the last of them is {times:,.0f} times as common as the planner takes the others to be."
        f"{more}{rest}{'.' if more else ''}",
        {"listed": row["listed"], "rest": row["rest"], "times": times, "columns": len(names)},
        "Raise the statistics targets of columns that are filtered by, and analyze: queries for the next common values "
        "are misjudged.", f"ALTER TABLE {relation} {changes}; ANALYZE {relation}",
    )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_statistics_skewed"})
