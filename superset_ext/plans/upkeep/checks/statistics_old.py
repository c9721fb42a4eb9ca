"""Tables of which much has changed since their last ANALYZE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Action, Check, Finding, Row, Severity, Verdict, on

KIND = "statistics_old"
LEAST_ROWS = 1_000
CHANGED = 0.5  # of the rows; autovacuum analyzes at a tenth, so that somebody has switched it off or it lags


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Tables whose statistics tell of other rows than they have."""
    for row in rows:
        share = row["modified"] / max(row["rows"], 1.0)
        if row["rows"] < 0 or row["modified"] < LEAST_ROWS or share < CHANGED:
            continue
        yield Finding(
            KIND, Severity.WARNING, row["relation"],
            f"Since the last ANALYZE of {row['relation']} ({row['rows']:,.0f} rows), {row['modified']:,.0f} rows were "
            "changed.", {"rows": row["rows"], "modified": row["modified"], "share": share},
            "Analyze it. If that comes back, lower autovacuum_analyze_scale_factor of the table.",
            on(Action.ANALYZE, row["relation"]), Action.ANALYZE,
        )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_tables"})
