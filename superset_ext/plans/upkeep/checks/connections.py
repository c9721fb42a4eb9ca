"""Connections near what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "connections"
SHARE = 0.8
NEAR = 0.95


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """The server, this database or this role with four fifths of its connections in use."""
    for row in rows:
        share = row["used"] / max(row["most"], 1)
        if share >= SHARE:
            yield Finding(
                KIND, Severity.CRITICAL if share >= NEAR else Severity.WARNING, row["scope"],
                f"{row['used']} of the {row['most']} connections of {row['scope']} are in use, of which {row['idle']} "
                f"are idle and {row['idle_in_transaction']} are idle in a transaction.",
                {"used": row["used"], "most": row["most"], "idle": row["idle"], "share": share},
                "Put PgBouncer before it, or lower the pools of its programs (SUPERSET_EXT_SOURCE_IDLE_CONNECTIONS for "
                "Superset's); more connections need more memory each.",
            )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_connections"})
