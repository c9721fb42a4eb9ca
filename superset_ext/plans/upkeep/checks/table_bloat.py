"""Tables that take much more room than their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep import measured
from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict, hidden

KIND = "table_bloat"
LEAST_BYTES = 8 * 2**20  # that are wasted
SHARE = 0.5  # of the table
_MEBI = 2**20


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Tables of which half is empty, by an estimate from the widths of their columns."""
    known = [row for row in rows if row["known"] == row["columns"]]
    for row in known:
        wasted = row["bytes"] - row["needed"]
        if wasted >= LEAST_BYTES and wasted >= row["bytes"] * SHARE:
            yield _finding(row, wasted)
    large = [row for row in rows if row["known"] < row["columns"] and row["bytes"] >= LEAST_BYTES]
    yield from hidden(KIND, len(large), "tables with columns that have no statistics or")


def _finding(row: Row, wasted: float) -> Finding:
    return Finding(
        KIND, Severity.NOTICE, row["relation"],
        f"{row['relation']} takes {row['bytes'] / _MEBI:,.0f} MiB, and its rows would take "
        f"{row['needed'] / _MEBI:,.0f} MiB (estimated from the widths of its columns).",
        {"bytes": row["bytes"], "needed": row["needed"], "wasted": wasted},
        "New rows fill the room. To give it back to the disk, use pg_repack, or VACUUM FULL while nobody needs the "
        "table: it locks readers out. pgstattuple_approx measures it first.",
        f"VACUUM (FULL, ANALYZE) {row['relation']}",
    )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_table_bloat"}, measured.tables)
