"""Transactions that have been open for long: no VACUUM removes what they may still see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict, hidden
from superset_ext.plans.upkeep.statements import shown

KIND = "long_transactions"
IDLE_SECONDS = 60.0
ACTIVE_SECONDS = 900.0
PREPARED_SECONDS = 300.0
HOUR = 3600.0


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Those that wait for their client, those that have run for long, and prepared ones that nobody has ended."""
    for row in rows:
        state = row["state"] or ""
        if row["seconds"] is None:
            continue
        if state == "prepared":
            if row["seconds"] >= PREPARED_SECONDS:
                yield _finding(row, "A prepared transaction has waited for its end", "")
        elif state.startswith("idle in transaction"):
            if row["state_seconds"] >= IDLE_SECONDS:
                yield _finding(
                    row, f"Session {row['pid']} is idle in a transaction that is open", "pg_terminate_backend"
                )
        elif row["seconds"] >= ACTIVE_SECONDS:
            yield _finding(row, f"Session {row['pid']} has been in one transaction", "pg_cancel_backend")
    yield from hidden(KIND, sum(row["unseen"] for row in rows), "sessions of others")


def _finding(row: Row, what: str, function: str) -> Finding:
    text = shown(row["query"], row["query_size"])
    return Finding(
        KIND, Severity.WARNING if row["seconds"] >= HOUR or row["state"] != "active" else Severity.NOTICE,
        f"session {row['pid']}" if row["pid"] else f"prepared by {row['user_name']}",
        f"{what} for {row['seconds']:,.0f} s, as {row['user_name']}{f'. Its statement: {text}' if text else ''}.",
        {"seconds": row["seconds"]},
        "Commit or roll back in the program, or set idle_in_transaction_session_timeout (statement_timeout for what "
        "runs); a prepared transaction is ended by COMMIT PREPARED or ROLLBACK PREPARED.",
        f"SELECT {function}({row['pid']})" if function else "SELECT gid, prepared, owner FROM pg_prepared_xacts",
    )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_transactions"})
