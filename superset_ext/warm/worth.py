"""What warming was worth: which of the entries that it stored people read before they went.

An entry's worth is what its first reader did not wait for; the later ones would have hit what the
first one had stored. So `saved_ms` counts each entry that was read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from superset_ext.db import LogDatabase
from superset_ext.signals import Stored

if TYPE_CHECKING:
    from superset_ext.warm.registry import Use

_READ = """
UPDATE superset_ext.cache_warm_entry e
SET reads = e.reads + v.reads, first_read_at = coalesce(e.first_read_at, to_timestamp(v.at))
FROM (VALUES %s) AS v (cache_key, reads, at)
WHERE e.cache_key = v.cache_key AND e.gone_at IS NULL AND e.stored_at <= to_timestamp(v.at)
    AND (e.expires_at IS NULL OR e.expires_at >= to_timestamp(v.at))
"""
_GONE = """
UPDATE superset_ext.cache_warm_entry e SET gone_at = to_timestamp(v.at)
FROM (VALUES %s) AS v (cache_key, at)
WHERE e.cache_key = v.cache_key AND e.gone_at IS NULL AND e.stored_at <= to_timestamp(v.at)
"""
_STORED = """
INSERT INTO superset_ext.cache_warm_entry (run_id, ordinal, cache_key, cost_ms, expires_at)
SELECT v.run_id::uuid, v.ordinal, v.cache_key, v.cost_ms,
    CASE WHEN v.seconds > 0 THEN now() + make_interval(secs => v.seconds) END
FROM (VALUES %s) AS v (run_id, ordinal, cache_key, cost_ms, seconds)
ON CONFLICT (run_id, cache_key) DO UPDATE SET
    stored_at = excluded.stored_at, expires_at = excluded.expires_at, cost_ms = excluded.cost_ms
"""
_EXPIRED = """
UPDATE superset_ext.cache_warm_entry SET gone_at = expires_at WHERE gone_at IS NULL AND expires_at < now()
"""
_SETTLE = """
UPDATE superset_ext.cache_warm_run r SET
    entries = e.entries, entries_read = e.entries_read, spent_ms = e.spent_ms, saved_ms = e.saved_ms,
    settled = r.finished_at IS NOT NULL AND e.open = 0
FROM (
    SELECT run_id, count(*) AS entries, count(*) FILTER (WHERE reads > 0) AS entries_read,
        sum(cost_ms) AS spent_ms, coalesce(sum(cost_ms) FILTER (WHERE reads > 0), 0) AS saved_ms,
        count(*) FILTER (WHERE gone_at IS NULL) AS open
    FROM superset_ext.cache_warm_entry
    WHERE run_id IN (SELECT run_id FROM superset_ext.cache_warm_run WHERE NOT settled)
    GROUP BY run_id
) e
WHERE e.run_id = r.run_id AND NOT r.settled
RETURNING r.run_id, r.schedule, r.entries, r.entries_read, r.settled
"""


def note(database: LogDatabase, uses: Sequence[Use]) -> None:
    """Count what people read of warmed entries, and mark those that they found gone.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    from psycopg2.extras import execute_values

    reads: dict[str, tuple[int, float]] = {}
    gone: dict[str, float] = {}
    for use in uses:
        for answer in use.answers:
            if answer.hit:
                reads[answer.key] = (reads.get(answer.key, (0, 0.0))[0] + 1, use.at)
            else:
                gone[answer.key] = use.at
    with database.transaction() as cursor:
        if reads:
            execute_values(cursor, _READ, sorted((key, *each) for key, each in reads.items()))
        if gone:
            execute_values(cursor, _GONE, sorted(gone.items()))


def stored(cursor: Any, run_id: str, ordinal: int, answers: Sequence[Any]) -> int:
    """Note the entries that an item of a run has stored, in the caller's transaction; how many those are."""
    from psycopg2.extras import execute_values

    kept = {answer.key: answer for answer in answers if answer.stored is Stored.STORED}
    if not kept:
        return 0
    cursor.execute(
        "UPDATE superset_ext.cache_warm_entry SET gone_at = now()"
        " WHERE cache_key = ANY(%s) AND gone_at IS NULL AND run_id <> %s::uuid",
        (list(kept), run_id),
    )
    rows = [(run_id, ordinal, key, answer.cost_ms, answer.seconds or 0.0) for key, answer in sorted(kept.items())]
    execute_values(cursor, _STORED, rows)
    return len(rows)


def settle(database: LogDatabase) -> list[dict[str, Any]]:
    """Bring the figures of runs up to date; the scheduled runs that are settled now, with nothing read of them.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction() as cursor:
        cursor.execute(_EXPIRED)
        cursor.execute(_SETTLE)
        rows = [dict(zip((c.name for c in cursor.description), row, strict=True)) for row in cursor.fetchall()]
        idle = [row for row in rows if row["settled"] and row["schedule"] and not row["entries_read"]]
        for row in idle:
            cursor.execute(
                "UPDATE superset_ext.cache_warm_run SET reason = %s WHERE run_id = %s",
                (f"warmed for nobody: none of its {row['entries']} entries was read before it went", row["run_id"]),
            )
    return idle
