"""Tables whose oldest transaction ids autovacuum should have frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Action, Check, Finding, Row, Severity, Verdict, on

KIND = "wraparound"
LATE = 1.1  # of what starts autovacuum, which then comes whether it is switched on or not
FAILSAFE = 1_600_000_000  # at which VACUUM leaves out all else by default
END = 2_147_483_648
_SHOWN = 10
_AGES = (("age", "freeze_after", "transaction ids"), ("multixact_age", "multixact_freeze_after", "multixacts"))


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """The tables nearest to the end, which stops all writes."""
    verdicts = [_verdict(row, *names) for row in rows for names in _AGES]
    late = [verdict for verdict in verdicts if verdict is not None]
    yield from sorted(late, key=lambda finding: -finding.numbers["age"])[:_SHOWN]


def _verdict(row: Row, name: str, limit: str, what: str) -> Finding | None:
    age, after = row[name], row[limit]
    if age < after * LATE:
        return None
    severity = Severity.CRITICAL if age >= FAILSAFE else Severity.WARNING
    return Finding(
        KIND, severity, row["relation"],
        f"The oldest of {row['relation']} is {age:,.0f} {what} old, and autovacuum should have come at {after:,.0f}; "
        f"at {END:,.0f} the database takes no writes.", {"age": age, "freeze_after": after, "share": age / END},
        "Vacuum it, and look for what holds it back: an open or a prepared transaction, a replication slot.",
        f"VACUUM (FREEZE) {row['relation']}" if severity is Severity.CRITICAL else on(Action.VACUUM, row["relation"]),
        None if severity is Severity.CRITICAL else Action.VACUUM,
    )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_tables"})
