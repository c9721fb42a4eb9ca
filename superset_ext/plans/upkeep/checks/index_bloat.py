"""B-trees that take much more room than their entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep import measured
from superset_ext.plans.upkeep.check import OLDEST, Action, Check, Finding, Row, Severity, Verdict, hidden, on

KIND = "index_bloat"
LEAST_BYTES = 4 * 2**20
TIMES = 3.0
_MEBI = 2**20


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """B-trees of three times the size that their entries need, by an estimate that is rather too large for these."""
    for row in rows:
        times = row["bytes"] / row["needed"]
        if row["known"] == row["columns"] and row["bytes"] >= LEAST_BYTES and times >= TIMES:
            yield Finding(
                KIND, Severity.WARNING, row["relation"],
                f"{row['relation']} of {row['table_name']} takes {row['bytes'] / _MEBI:,.0f} MiB, {times:,.1f} times "
                "what its entries need (estimated).", {"bytes": row["bytes"], "needed": row["needed"], "times": times},
                "Build it anew, which blocks nobody and needs room for a second one meanwhile.",
                on(Action.REINDEX, row["relation"]), Action.REINDEX,
            )  # fmt: skip
    large = [row for row in rows if row["known"] < row["columns"] and row["bytes"] >= LEAST_BYTES]
    yield from hidden(KIND, len(large), "indexes on columns that have no statistics or")


CHECK = Check(KIND, judge, {OLDEST: "upkeep_index_bloat"}, measured.indexes)
