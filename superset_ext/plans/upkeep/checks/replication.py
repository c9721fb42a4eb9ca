"""Replication that holds up the source, or lags behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "replication"
LEAST_BYTES = 2**30
LAG_SECONDS = 60.0
_MEBI = 2**20


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Slots that nobody reads and that keep much write-ahead log; replicas that are a minute late or more."""
    for row in rows:
        if row["kind"] == "replica" and (row["seconds"] or 0.0) >= LAG_SECONDS:
            yield Finding(
                KIND, Severity.WARNING, row["name"], f"The replica {row['name']} is {row['seconds']:,.0f} s late.",
                {"seconds": row["seconds"]}, "Charts that read there show that much less; look for long queries on it.",
            )  # fmt: skip
        if row["kind"] == "slot" and not row["active"] and (row["bytes"] or 0.0) >= LEAST_BYTES:
            yield Finding(
                KIND, Severity.CRITICAL, row["name"],
                f"Nobody reads the replication slot {row['name']}, and it keeps {row['bytes'] / _MEBI:,.0f} MiB of "
                "write-ahead log, until the disk is full.", {"bytes": row["bytes"]},
                "Start its reader, or drop it; set max_slot_wal_keep_size. It may hold VACUUM back as well.",
                f"SELECT pg_drop_replication_slot('{str(row['name']).replace(chr(39), chr(39) * 2)}')",
            )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_replication"})
