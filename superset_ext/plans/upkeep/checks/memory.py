"""The server's memory beside the machine's, where that can be known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "memory"
LEAST = 0.1
MOST = 0.5
_MEBI = 2**20


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """shared_buffers that are over half of the machine, or under a tenth of it for a database that needs more."""
    for row in rows:
        machine, buffers = row["machine"], row["shared_buffers"]
        if machine is None:
            continue
        share = buffers / machine
        if share > MOST or (share < LEAST and row["database_bytes"] > buffers):
            yield Finding(
                KIND, Severity.WARNING if share > MOST else Severity.NOTICE, "shared_buffers",
                f"shared_buffers is {row['shown']}, {share:.0%} of the machine's {machine / _MEBI:,.0f} MiB, for a "
                f"database of {row['database_bytes'] / _MEBI:,.0f} MiB (a container may have less than its machine).",
                {"shared_buffers": buffers, "machine": machine, "database": row["database_bytes"]},
                "A quarter is usual: queries need memory of their own, and the system's cache helps too.",
                f"ALTER SYSTEM SET shared_buffers = '{machine / 4 / _MEBI:.0f}MB'",
            )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_memory"})
