"""What warming was worth: which of the entries that it stored were read by people before they went.

An entry saves what its first reader did not wait for. Later readers would have hit what the first one had stored, so
`saved_ms` counts the cost of each entry that was read once. Every function raises `LogUnavailable` when the log
database does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superset_ext.core.log_database import LogDatabase, all_rows
from superset_ext.core.sql_folder import query_text
from superset_ext.events import Answer, Stored
from superset_ext.warm.registry.uses import Use

# Processes write the same keys: one after the other, or two would wait for each other.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.warm_worth', 0))"
_TAKEN_OVER = """
UPDATE superset_ext.cache_warm_entry SET gone_at = now()
WHERE cache_key = ANY(%s) AND gone_at IS NULL AND run_id <> %s::uuid
"""
_EXPIRED = """
UPDATE superset_ext.cache_warm_entry SET gone_at = expires_at WHERE gone_at IS NULL AND expires_at < now()
"""
_EMPTY = """
UPDATE superset_ext.cache_warm_run r SET settled = true
WHERE NOT settled AND finished_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM superset_ext.cache_warm_entry e WHERE e.run_id = r.run_id)
"""


def count_reads(database: LogDatabase, uses: Sequence[Use]) -> None:
    """Count what people read of warmed entries, and mark the entries that they found gone."""
    from psycopg2.extras import execute_values

    reads, gone = _reads_and_misses(uses)
    with database.transaction() as cursor:
        cursor.execute(_LOCK)
        if reads:
            execute_values(cursor, database.statement("warm_entries_read"), sorted(reads.items()))
        if gone:
            execute_values(cursor, database.statement("warm_entries_gone"), sorted(gone.items()))


def _reads_and_misses(uses: Sequence[Use]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """When each key was read, and when it was first found gone; what is read after that is another entry."""
    reads: dict[str, list[float]] = {}
    gone: dict[str, float] = {}
    for use in sorted(uses, key=lambda use: use.at):
        for answer in use.answers:
            if not answer.hit:
                gone.setdefault(answer.key, use.at)
            elif answer.key not in gone:
                reads.setdefault(answer.key, []).append(use.at)
    return reads, gone


def add_stored(cursor: Any, run_id: str, ordinal: int, answers: Sequence[Answer]) -> int:
    """Add the entries that an item of a run has stored, in the caller's transaction; returns how many."""
    from psycopg2.extras import execute_values

    stored = {answer.key: answer for answer in answers if answer.stored is Stored.STORED}
    if not stored:
        return 0
    cursor.execute(_LOCK)
    cursor.execute(_TAKEN_OVER, (list(stored), run_id))
    rows = [(run_id, ordinal, key, answer.cost_ms, answer.seconds or 0.0) for key, answer in sorted(stored.items())]
    execute_values(cursor, query_text("warm_entries_stored"), rows)
    return len(rows)


def settle(database: LogDatabase) -> list[dict[str, Any]]:
    """Bring the figures of runs up to date; returns the scheduled runs that ended now with none of their entries read.

    A run is settled when it has ended and all of its entries have gone: its figures are final.
    """
    with database.transaction() as cursor:
        cursor.execute(_EXPIRED)
        cursor.execute(_EMPTY)
        cursor.execute(database.statement("warm_runs_settled"))
        rows = all_rows(cursor)
        ended = [row for row in rows if row["settled"] and row["state"] == "done"]
        unread = [row for row in ended if row["schedule"] and not row["entries_read"]]
        for row in unread:
            cursor.execute(
                "UPDATE superset_ext.cache_warm_run SET reason = %s WHERE run_id = %s",
                (f"warmed for nobody: none of its {row['entries']} entries was read before it went", row["run_id"]),
            )
    return unread
