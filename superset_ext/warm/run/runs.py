"""Warming runs and their items, as rows: who has which, until when, and what came of it.

The lease on an item is a row's, not the broker's, since Redis gives a lost message again only after an
hour. An item is taken under a token, its worker renews that every few seconds, and an answer under
another token is not taken: a worker that was thought dead changes nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal
from uuid import uuid4

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.rows import all_rows
from superset_ext.errors import WarmError
from superset_ext.events import Answer
from superset_ext.settings import Targets
from superset_ext.warm.registry import worth
from superset_ext.warm.registry.who import Who

Action = Literal["replay", "refresh", "discover"]
LEASE_SECONDS = 30
_COPIED = (
    "run_id", "ordinal", "action", "fingerprint", "page", "user_id", "guest", "who", "dashboard_id", "chart_id",
    "database_id", "cost_ms",
)  # fmt: skip
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
# One claim at a time, so that the limit of a source database holds over all workers.
_CLAIM_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.warm', 0))"
_CLAIM = """
WITH busy AS (
    SELECT database_id, count(*) AS n FROM superset_ext.cache_warm_item
    WHERE state = 'running' AND lease_until > now() GROUP BY database_id
), open AS (
    SELECT i.ordinal, row_number() OVER (PARTITION BY i.database_id ORDER BY i.ordinal) + coalesce(b.n, 0) AS place,
        i.database_id
    FROM superset_ext.cache_warm_item i LEFT JOIN busy b ON b.database_id = i.database_id
    WHERE i.run_id = %(run)s
        AND EXISTS (SELECT FROM superset_ext.cache_warm_run r WHERE r.run_id = i.run_id AND r.state = 'running')
        AND (i.state = 'queued' AND i.not_before <= now()
        OR i.state = 'running' AND i.lease_until <= now())
)
UPDATE superset_ext.cache_warm_item i SET state = 'running', attempts = attempts + 1, lease = %(lease)s,
    lease_until = now() + make_interval(secs => %(seconds)s), started_at = now(), reason = NULL
WHERE i.run_id = %(run)s AND i.ordinal IN (
    SELECT ordinal FROM open WHERE database_id IS NULL OR place <= %(per_database)s ORDER BY ordinal LIMIT %(n)s
)
RETURNING i.ordinal, i.action, i.fingerprint, i.page, i.user_id, i.guest, i.dashboard_id, i.chart_id,
    i.database_id, i.cost_ms, i.attempts
"""
_FINISH = """
UPDATE superset_ext.cache_warm_item SET state = %(state)s, reason = %(reason)s, took_ms = %(ms)s,
    database_id = coalesce(database_id, %(database)s), lease = NULL, lease_until = NULL,
    finished_at = CASE WHEN %(state)s <> 'queued' THEN now() END,
    not_before = now() + make_interval(secs => %(wait)s)
WHERE run_id = %(run)s AND ordinal = %(ordinal)s AND lease = %(lease)s AND state = 'running'
"""
_RENEW = """
UPDATE superset_ext.cache_warm_item SET lease_until = now() + make_interval(secs => %(seconds)s)
WHERE run_id = %(run)s AND lease = %(lease)s AND state = 'running'
"""
_CLOSE = """
UPDATE superset_ext.cache_warm_run r SET state = 'done', finished_at = now()
WHERE run_id = %(run)s AND state = 'running'
    AND NOT EXISTS (SELECT FROM superset_ext.cache_warm_item i
        WHERE i.run_id = r.run_id AND i.state IN ('queued', 'running'))
RETURNING run_id
"""
_STATUS = """
SELECT r.run_id, r.schedule, r.state, r.reason, r.requested_by, r.created_at, r.started_at, r.finished_at, r.options,
    r.left_out, r.entries, r.entries_read, r.spent_ms, r.saved_ms, r.settled,
    extract(epoch FROM coalesce(r.finished_at, now()) - coalesce(r.started_at, r.created_at)) AS seconds,
    r.fresh + count(i.*) AS total,
    r.fresh + count(i.*) FILTER (WHERE i.state IN ('warmed', 'fresh', 'failed')) AS done,
    count(i.*) FILTER (WHERE i.state = 'warmed') AS warmed,
    r.fresh + count(i.*) FILTER (WHERE i.state = 'fresh') AS already_fresh,
    count(i.*) FILTER (WHERE i.state = 'failed') AS failed,
    sum(i.cost_ms) FILTER (WHERE i.state IN ('queued', 'running')) AS left_ms,
    sum(i.cost_ms) FILTER (WHERE i.state IN ('warmed', 'fresh', 'failed')) AS done_ms
FROM superset_ext.cache_warm_run r LEFT JOIN superset_ext.cache_warm_item i USING (run_id)
WHERE r.run_id = %(run)s GROUP BY r.run_id
"""
_FAILURES = """
SELECT reason, count(*) AS items,
    array_agg(DISTINCT dashboard_id) FILTER (WHERE dashboard_id IS NOT NULL) AS dashboards,
    array_agg(DISTINCT chart_id) FILTER (WHERE chart_id IS NOT NULL) AS charts
FROM superset_ext.cache_warm_item WHERE run_id = %(run)s AND state = 'failed' GROUP BY reason ORDER BY items DESC
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One request as one user, or one page to discover; fields as in `cache_warm_item`."""

    action: Action
    who: Who
    fingerprint: str | None = None
    page: str | None = None
    dashboard_id: int | None = None
    chart_id: int | None = None
    database_id: int | None = None
    cost_ms: float | None = None
    ordinal: int = 0
    attempts: int = 0


def create(
    database: LogDatabase,
    options: Targets,
    requested_by: str,
    schedule: str | None = None,
    due_at: datetime | None = None,
) -> tuple[str, bool]:
    """A run of `options`; whether it is a new one, or one that is under way or due at the same moment already.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    said = options.model_dump_json(exclude_defaults=True)
    values = {
        "id": str(uuid4()), "schedule": schedule, "due_at": due_at, "options": said, "by": requested_by,
        "hash": sha256(said.encode()).hexdigest()[:32],
    }  # fmt: skip
    with database.transaction() as cursor:
        for _ in range(2):  # between the two statements the run that was in the way may end
            cursor.execute(_CREATE, values)
            if cursor.fetchone():
                return str(values["id"]), True
            cursor.execute(_SAME, values)
            if found := cursor.fetchone():
                return str(found[0]), False
    raise WarmError("another run of the same targets ended at this moment; try again")


def add(cursor: Any, run_id: str, items: Iterable[Item]) -> int:
    """Append items to a run, in the caller's transaction; how many those were."""
    cursor.execute("SELECT coalesce(max(ordinal), 0) FROM superset_ext.cache_warm_item WHERE run_id = %s", (run_id,))
    first = cursor.fetchone()[0] + 1
    lines = [_line(run_id, ordinal, item) for ordinal, item in enumerate(items, first)]
    columns = ", ".join(_COPIED)
    cursor.copy_expert(
        f"COPY superset_ext.cache_warm_item ({columns}) FROM STDIN WITH (FORMAT csv)", io.StringIO("".join(lines))
    )
    return len(lines)


def _line(run_id: str, ordinal: int, item: Item) -> str:
    values = (
        run_id, ordinal, item.action, item.fingerprint, item.page, item.who.user_id, item.who.guest, item.who.name,
        item.dashboard_id, item.chart_id, item.database_id, item.cost_ms,
    )  # fmt: skip
    return ",".join("" if v is None else v if type(v) is not str else _quoted(v) for v in map(_text, values)) + "\n"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(c in value for c in '",\r\n\\') else value


def claim(database: LogDatabase, run_id: str, lease: str, count: int, per_database: int) -> list[Item]:
    """Take up to `count` items under a lease.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    values = {
        "run": run_id, "lease": lease, "seconds": LEASE_SECONDS, "n": count, "per_database": per_database,
    }  # fmt: skip
    with database.transaction() as cursor:
        cursor.execute(_CLAIM_LOCK)
        cursor.execute("UPDATE superset_ext.cache_warm_run SET beat_at = now() WHERE run_id = %(run)s", values)
        cursor.execute(_CLAIM, values)
        rows = all_rows(cursor)
    return sorted((_item(row) for row in rows), key=lambda item: item.ordinal)


def _item(row: Mapping[str, Any]) -> Item:
    guest = row["guest"]
    who = Who(row["user_id"], json.dumps(guest, sort_keys=True) if isinstance(guest, dict) else guest)
    kept = {name: row[name] for name in Item.__slots__ if name in row}
    return Item(who=who, **kept)


def finish(
    database: LogDatabase,
    run_id: str,
    lease: str,
    item: Item,
    state: Literal["warmed", "fresh", "failed", "queued"],
    *,
    reason: str | None = None,
    ms: float | None = None,
    wait: float = 0.0,
    answers: Sequence[Answer] = (),
    database_id: int | None = None,
    more: Sequence[Item] = (),
) -> bool:
    """Say what came of an item; whether that was taken, which it is not from who has lost the lease.

    Args:
        state: `queued` puts it back, to be taken after `wait` seconds.
        answers: what its queries came to; those that stored an entry are noted.
        more: items that follow from it.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    values = {
        "run": run_id, "ordinal": item.ordinal, "lease": lease, "state": state, "reason": reason, "ms": ms,
        "wait": wait, "database": database_id,
    }  # fmt: skip
    with database.transaction() as cursor:
        if more:
            cursor.execute(_CLAIM_LOCK)  # ordinals are given one after the other; before any row, as in `claim`
        cursor.execute(_FINISH, values)
        if not cursor.rowcount:
            return False
        worth.stored(cursor, run_id, item.ordinal, answers)
        if more:
            add(cursor, run_id, more)
    return True


def renew(database: LogDatabase, run_id: str, lease: str) -> None:
    """Keep what is held under a lease.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction() as cursor:
        cursor.execute(_RENEW, {"run": run_id, "lease": lease, "seconds": LEASE_SECONDS})
        cursor.execute("UPDATE superset_ext.cache_warm_run SET beat_at = now() WHERE run_id = %s", (run_id,))


def close(database: LogDatabase, run_id: str) -> bool:
    """End a run that has no open items; whether it ended now.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction() as cursor:
        cursor.execute(_CLOSE, {"run": run_id})
        return cursor.fetchone() is not None


def fail(database: LogDatabase, run_id: str, reason: str, unless_started: bool = False) -> bool:
    """End a run as failed; whether it was under way.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    states = ["queued"] if unless_started else ["queued", "running"]
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE superset_ext.cache_warm_run SET state = 'failed', reason = %s, finished_at = now()"
            " WHERE run_id = %s AND state = ANY(%s)",
            (reason, run_id, states),
        )
        return bool(cursor.rowcount)


def options(database: LogDatabase, run_id: str) -> Targets:
    """What a run was asked to do.

    Raises:
        WarmError: there is no such run.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    rows = database.rows("SELECT options FROM superset_ext.cache_warm_run WHERE run_id = %s", (run_id,))
    if not rows:
        raise WarmError(f"there is no warming run {run_id}")
    return Targets.model_validate(rows[0]["options"])


def status(database: LogDatabase, run_id: str) -> dict[str, Any]:
    """Where a run is at: total, done, warmed, already fresh, failed by reason, seconds, and seconds left.

    `seconds_left` is estimated from what the done items took, in proportion to their expected cost; `None`
    where nothing is done yet.

    Raises:
        WarmError: there is no such run.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    rows = database.rows(_STATUS, {"run": run_id})
    if not rows:
        raise WarmError(f"there is no warming run {run_id}")
    row = rows[0]
    left, done = row.pop("left_ms"), row.pop("done_ms")
    row["run_id"], row["seconds"] = str(row["run_id"]), round(float(row["seconds"]), 1)
    row["seconds_left"] = _left(row, left, done)
    row["failures"] = database.rows(_FAILURES, {"run": run_id})
    return row


def _left(row: Mapping[str, Any], left_ms: float | None, done_ms: float | None) -> float | None:
    if row["state"] in ("done", "failed"):
        return 0.0
    items, finished = row["total"] - row["done"], row["warmed"] + row["failed"]
    if not finished:
        return None
    share = left_ms / done_ms if left_ms and done_ms else items / finished
    return round(float(row["seconds"]) * float(share), 1)
