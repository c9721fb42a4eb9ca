"""Settings of the source that are unsafe, or were never set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "settings"
_ALWAYS_ON = {
    "fsync": (Severity.CRITICAL, "a crash of the machine can destroy the data"),
    "full_page_writes": (Severity.CRITICAL, "a crash of the machine can destroy the data"),
    "autovacuum": (Severity.CRITICAL, "nothing removes dead rows and renews statistics"),
    "track_counts": (Severity.CRITICAL, "autovacuum does not know where it is needed"),
}
_DEFAULT_BUFFERS = 128 * 2**20
_DEFAULT_PAGE_COST = 4.0
_SSD_PAGE_COST = 1.1
_PAGE = 8192
_MEBI = 2**20


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Settings that should not stay as they are."""
    known = {row["name"]: row for row in rows}
    for name, (severity, why) in _ALWAYS_ON.items():
        if name in known and known[name]["setting"] == "off":
            yield Finding(KIND, severity, name, f"{name} is off: {why}.", {}, "Switch it on.",
                          f"ALTER SYSTEM SET {name} = on")  # fmt: skip
    yield from _page_cost(known)
    yield from _buffers(known)


def _page_cost(known: dict[str, Row]) -> Iterator[Verdict]:
    row = known.get("random_page_cost")
    if row is not None and float(row["setting"]) >= _DEFAULT_PAGE_COST:
        yield Finding(
            KIND, Severity.NOTICE, "random_page_cost",
            f"random_page_cost is {float(row['setting']):g}, which is for disks that turn; nobody can ask the server "
            "whether it has an SSD.", {"random_page_cost": float(row["setting"])},
            f"On an SSD or a volume in the cloud, set {_SSD_PAGE_COST}: the planner then uses indexes more often.",
            f"ALTER SYSTEM SET random_page_cost = {_SSD_PAGE_COST}",
        )  # fmt: skip


def _buffers(known: dict[str, Row]) -> Iterator[Verdict]:
    row = known.get("shared_buffers")
    if row is None:
        return
    buffers, size = float(row["setting"]) * _PAGE, row["database_bytes"]
    if buffers <= _DEFAULT_BUFFERS and size > 4 * buffers:
        yield Finding(
            KIND, Severity.WARNING, "shared_buffers",
            f"shared_buffers is {row['shown']}, no more than PostgreSQL's default, for a database of "
            f"{size / _MEBI:,.0f} MiB.", {"shared_buffers": buffers, "database": size},
            "Set a quarter of the memory that the server may use, and effective_cache_size to three quarters.",
        )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_settings"})
