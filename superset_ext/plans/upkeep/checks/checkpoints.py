"""Checkpoints that come before their time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "checkpoints"
LEAST = 20
SHARE = 0.3
_MEBI = 2**20


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Many checkpoints because the write-ahead log was full: each writes whole pages anew."""
    for row in rows:
        count = row["timed"] + row["requested"]
        share = row["requested"] / max(count, 1.0)
        if count < LEAST or share < SHARE:
            continue
        mib = row["max_wal_bytes"] * 4 / _MEBI
        yield Finding(
            KIND, Severity.NOTICE, "max_wal_size",
            f"{row['requested']:,.0f} of {count:,.0f} checkpoints came because the write-ahead log was full, or "
            f"somebody asked for them; max_wal_size is {row['max_wal_size']}.",
            {"requested": row["requested"], "timed": row["timed"], "share": share},
            "Allow more write-ahead log between two checkpoints; a restart after a crash then takes longer.",
            f"ALTER SYSTEM SET max_wal_size = '{mib:,.0f}MB'".replace(",", ""),
        )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_checkpoints_before_17", 170_000: "upkeep_checkpoints"})
