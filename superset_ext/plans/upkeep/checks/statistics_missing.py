"""Tables that were never analyzed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Action, Check, Finding, Row, Severity, Verdict, on

KIND = "statistics_missing"
LEAST_PAGES = 10
LEAST_ROWS = 1_000


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Tables of some size of which the planner knows nothing."""
    for row in rows:
        is_small = row["live"] < LEAST_ROWS and row["pages"] < LEAST_PAGES
        if row["analyzed"] or row["rows"] >= 0 or is_small:
            continue
        size = f"{row['live']:,.0f} rows" if row["live"] else f"{row['pages']:,.0f} pages"
        yield Finding(
            KIND, Severity.WARNING, row["relation"], f"{row['relation']} ({size}) was never analyzed.",
            {"rows": row["live"], "pages": row["pages"]},
            "Analyze it: until then the planner guesses what its columns hold. After a bulk load, analyze in the load.",
            on(Action.ANALYZE, row["relation"]), Action.ANALYZE,
        )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_tables"})
