"""Warming runs as rows: creating, planning, closing and failing them, and where each is at.

Every function raises `LogUnavailable` when the log database does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import WarmError
from superset_ext.settings import Targets
from superset_ext.warm.run import items
from superset_ext.warm.run.items import Item

_CREATE = """
INSERT INTO superset_ext.cache_warm_run (run_id, schedule, due_at, options, options_hash, requested_by, state)
VALUES (%(id)s, %(schedule)s, %(due_at)s, %(options)s, %(hash)s, %(by)s, 'queued')
ON CONFLICT DO NOTHING RETURNING run_id
"""
_SAME = """
SELECT run_id FROM superset_ext.cache_warm_run
WHERE options_hash = %(hash)s AND state IN ('queued', 'running') OR schedule = %(schedule)s AND due_at = %(due_at)s
ORDER BY created_at DESC LIMIT 1
"""
_BEGIN = """
UPDATE superset_ext.cache_warm_run SET state = 'running', started_at = now(), beat_at = now(),
    fresh = %(fresh)s, left_out = %(left_out)s, reason = %(reason)s
WHERE run_id = %(run)s AND state = 'queued'
"""
_CLOSE = """
UPDATE superset_ext.cache_warm_run r SET state = 'done', finished_at = now()
WHERE run_id = %(run)s AND state = 'running'
    AND NOT EXISTS (SELECT FROM superset_ext.cache_warm_item i
        WHERE i.run_id = r.run_id AND i.state IN ('queued', 'running'))
RETURNING run_id
"""
_FAIL = """
UPDATE superset_ext.cache_warm_run SET state = 'failed', reason = %s, finished_at = now()
WHERE run_id = %s AND state IN ('queued', 'running')
"""


def create(
    database: LogDatabase,
    options: Targets,
    requested_by: str,
    schedule: str | None = None,
    due_at: datetime | None = None,
) -> tuple[str, bool]:
    """The id of a run of `options`, and whether it is new: the same may be under way, or due at the same moment.

    Raises:
        WarmError: such a run ended just now.
    """
    text = options.model_dump_json(exclude_defaults=True)
    values = {
        "id": str(uuid4()), "schedule": schedule, "due_at": due_at, "options": text, "by": requested_by,
        "hash": sha256(text.encode()).hexdigest()[:32],
    }  # fmt: skip
    with database.transaction() as cursor:
        for _ in range(2):  # between the two statements the run that was in the way may end
            cursor.execute(_CREATE, values)
            if cursor.fetchone():
                return str(values["id"]), True
            cursor.execute(_SAME, values)
            if same := cursor.fetchone():
                return str(same[0]), False
    raise WarmError("another run of the same targets ended at this moment; try again")


def begin(
    database: LogDatabase, run_id: str, planned: Sequence[Item], *, fresh: int, left_out: int, reason: str | None
) -> None:
    """Add the planned items to a queued run and set it running; nothing happens if another worker did so before.

    Args:
        fresh: requests left out, because their entries will last.
        left_out: requests left out, because the budget was full.
        reason: what whoever asked for the run should know.
    """
    values = {"run": run_id, "fresh": fresh, "left_out": left_out, "reason": reason}
    with database.transaction(60.0) as cursor:
        cursor.execute(_BEGIN, values)
        if cursor.rowcount:
            items.add(cursor, run_id, planned)


def close(database: LogDatabase, run_id: str) -> bool:
    """End a running run that has no open items, and return whether it ended now."""
    with database.transaction() as cursor:
        cursor.execute(_CLOSE, {"run": run_id})
        return cursor.fetchone() is not None


def fail(database: LogDatabase, run_id: str, reason: str) -> bool:
    """End a run as failed, and return whether it was under way."""
    with database.transaction() as cursor:
        cursor.execute(_FAIL, (reason, run_id))
        return bool(cursor.rowcount)


def status(database: LogDatabase, run_id: str) -> dict[str, Any]:
    """Where a run is at: options, total, done, warmed, already fresh, failures by reason, seconds, and seconds left.

    `seconds_left` is estimated from the seconds that the done items took, in proportion to their expected cost;
    `None` where nothing is done yet.

    Raises:
        WarmError: there is no such run.
    """
    rows = database.query("warm_run_status", {"run": run_id})
    if not rows:
        raise WarmError(f"there is no warming run {run_id}")
    row = rows[0]
    left_ms, done_ms = row.pop("left_ms"), row.pop("done_ms")
    row["run_id"], row["seconds"] = str(row["run_id"]), round(float(row["seconds"]), 1)
    row["seconds_left"] = _seconds_left(row, left_ms, done_ms)
    row["failures"] = database.query("warm_run_failures", {"run": run_id}) if row["failed"] else []
    return row


def _seconds_left(row: Mapping[str, Any], left_ms: float | None, done_ms: float | None) -> float | None:
    if row["state"] in ("done", "failed"):
        return 0.0
    open_items, finished = row["total"] - row["done"], row["warmed"] + row["failed"]
    if not finished:
        return None
    share = left_ms / done_ms if left_ms and done_ms else open_items / finished
    return round(float(row["seconds"]) * float(share), 1)
