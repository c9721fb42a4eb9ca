"""A source that reads much from outside its memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "cache_hits"
LEAST_READS = 10_000
SHARE = 0.95


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """A database of whose pages fewer than 95 % were in shared_buffers."""
    for row in rows:
        share = row["hits"] / max(row["hits"] + row["reads"], 1.0)
        if row["reads"] >= LEAST_READS and share < SHARE:
            yield Finding(
                KIND, Severity.NOTICE, "shared_buffers",
                f"{share:.0%} of the pages that queries needed were in shared_buffers ({row['shared_buffers']}); "
                f"{row['reads']:,.0f} were not, and came from the system's cache or the disk.",
                {"share": share, "reads": row["reads"], "hits": row["hits"]},
                "Look at the scans of large tables first (superset perf explain, superset perf indexes); then at "
                "shared_buffers, of which a quarter of the machine's memory is usual.",
            )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_cache_hits"})
