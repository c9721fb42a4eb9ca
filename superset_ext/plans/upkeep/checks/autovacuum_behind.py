"""Tables that autovacuum does not keep up with, or may not touch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Action, Check, Finding, Row, Severity, Verdict, on

KIND = "autovacuum_behind"
LEAST_DEAD = 10_000
FACTOR = 2.0  # of what starts autovacuum


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Tables with at least twice as many dead rows as start autovacuum."""
    for row in rows:
        dead, after = row["dead"], row["vacuum_after"]
        if dead < max(LEAST_DEAD, after * FACTOR):
            continue
        why = "" if row["autovacuum"] else "; autovacuum is switched off for it"
        share = dead / max(dead + row["live"], 1.0)
        yield Finding(
            KIND, Severity.WARNING, row["relation"],
            f"{row['relation']} has {dead:,.0f} dead rows ({share:.0%}), and autovacuum starts at {after:,.0f}{why}.",
            {"dead": dead, "share": share, "starts_at": after},
            "Vacuum it. If that removes little, an old transaction or a replication slot holds the rows; if it comes "
            "back, give autovacuum a higher cost limit, or this table a lower autovacuum_vacuum_scale_factor.",
            on(Action.VACUUM, row["relation"]), Action.VACUUM,
        )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_tables"})
