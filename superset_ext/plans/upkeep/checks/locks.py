"""Sessions that wait for a lock, and who holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict
from superset_ext.plans.upkeep.statements import shown

KIND = "locks"
LEAST_SECONDS = 1.0
LONG_SECONDS = 60.0


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Who has waited for a second or longer, for whom."""
    for row in rows:
        if row["seconds"] >= LEAST_SECONDS:
            yield _finding(row)


def _finding(row: Row) -> Finding:
    what = f"{row['mode']} on {row['relation'] if row['relation'] != '.' else row['locktype']}"
    holder = f"session {row['holds_pid']} ({row['holds_user'] or 'hidden'}, {row['holds_state'] or 'state hidden'})"
    size = row["query_size"]
    texts = (("waiting", shown(row["waits_query"], size)), ("holding", shown(row["holds_query"], size)))
    waits = (
        f"Session {row['waits_pid']} ({row['waits_user'] or 'hidden'}) has waited {row['seconds']:,.0f} s for {what}"
    )
    shown_texts = [f"{name}: {text}" for name, text in texts if text]
    idle = str(row["holds_state"] or "").startswith("idle in transaction")
    function = "pg_terminate_backend" if idle else "pg_cancel_backend"
    return Finding(
        KIND, Severity.CRITICAL if row["seconds"] >= LONG_SECONDS else Severity.WARNING, f"session {row['waits_pid']}",
        ". ".join([f"{waits}, which {holder} keeps from it", *shown_texts]) + ".",
        {"seconds": row["seconds"], "waits_pid": row["waits_pid"], "holds_pid": row["holds_pid"] or 0},
        "Have the holder commit; where it is a program that forgot to, end its session. Set lock_timeout for "
        "changes of tables, and idle_in_transaction_session_timeout for programs.",
        f"SELECT {function}({row['holds_pid']})" if row["holds_pid"] else "",
    )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_locks"})
