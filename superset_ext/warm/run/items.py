"""The items of a run, as rows: who has which, until when, and what each came to.

The lease on an item is a row's and not the broker's, because Redis delivers a lost message again only after an hour.
An item is taken under a token, its worker renews that every few seconds, and a result under another token is not
taken: a worker that was thought dead changes nothing. Every function raises `LogUnavailable` when the log database
does not answer.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from superset_ext.core.log_database import LogDatabase, all_rows
from superset_ext.events import Answer
from superset_ext.host.people import Identity
from superset_ext.warm.registry import worth

Action = Literal["replay", "refresh", "discover"]
State = Literal["queued", "warmed", "fresh", "failed"]
LEASE_SECONDS = 30
_COPIED = (
    "run_id", "ordinal", "action", "fingerprint", "page", "user_id", "guest", "identity", "dashboard_id", "chart_id",
    "database_id", "cost_ms",
)  # fmt: skip
# One claim at a time, so that the limit of a source database holds over all workers.
_CLAIM_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('superset_ext.warm', 0))"
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
_SIGN_OF_LIFE = "UPDATE superset_ext.cache_warm_run SET beat_at = now() WHERE run_id = %(run)s"
# An item whose worker died at each attempt is not given to another one.
_DEADLY = """
UPDATE superset_ext.cache_warm_item SET state = 'failed', finished_at = now(), lease = NULL, lease_until = NULL,
    reason = 'its worker died ' || attempts || ' times while it had it; see the worker''s log'
WHERE state = 'running' AND lease_until <= now() AND attempts >= %s
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One request as one identity, or one page to discover; fields as in `cache_warm_item`."""

    action: Action
    identity: Identity
    fingerprint: str | None = None
    page: str | None = None
    dashboard_id: int | None = None
    chart_id: int | None = None
    database_id: int | None = None
    cost_ms: float | None = None
    ordinal: int = 0
    attempts: int = 0


def add(cursor: Any, run_id: str, items: Iterable[Item]) -> int:
    """Append items to a run, in the caller's transaction, and return how many those were."""
    cursor.execute("SELECT coalesce(max(ordinal), 0) FROM superset_ext.cache_warm_item WHERE run_id = %s", (run_id,))
    first = cursor.fetchone()[0] + 1
    lines = [_line(run_id, ordinal, item) for ordinal, item in enumerate(items, first)]
    columns = ", ".join(_COPIED)
    cursor.copy_expert(
        f"COPY superset_ext.cache_warm_item ({columns}) FROM STDIN WITH (FORMAT csv)", io.StringIO("".join(lines))
    )
    return len(lines)


def _line(run_id: str, ordinal: int, item: Item) -> str:
    identity = item.identity
    values = (
        run_id, ordinal, item.action, item.fingerprint, item.page, identity.user_id, identity.guest, identity.name,
        item.dashboard_id, item.chart_id, item.database_id, item.cost_ms,
    )  # fmt: skip
    return ",".join(map(_csv, values)) + "\n"


def _csv(value: Any) -> str:
    """A value in PostgreSQL's CSV, where nothing at all is NULL."""
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in '",\r\n\\') else text


def claim(database: LogDatabase, run_id: str, lease: str, count: int, per_database: int) -> list[Item]:
    """Take up to `count` items under a lease."""
    values = {
        "run": run_id, "lease": lease, "seconds": LEASE_SECONDS, "n": count, "per_database": per_database,
    }  # fmt: skip
    with database.transaction() as cursor:
        cursor.execute(_CLAIM_LOCK)
        cursor.execute(_SIGN_OF_LIFE, values)
        cursor.execute(database.statement("warm_items_claimed"), values)
        rows = all_rows(cursor)
    return sorted((_item(row) for row in rows), key=lambda item: item.ordinal)


def _item(row: Mapping[str, Any]) -> Item:
    guest = row["guest"]
    identity = Identity(row["user_id"], json.dumps(guest, sort_keys=True) if isinstance(guest, dict) else guest)
    return Item(identity=identity, **{name: row[name] for name in Item.__slots__ if name in row})


def finish(
    database: LogDatabase,
    run_id: str,
    lease: str,
    item: Item,
    state: State,
    *,
    reason: str | None = None,
    ms: float | None = None,
    wait: float = 0.0,
    answers: Sequence[Answer] = (),
    database_id: int | None = None,
    more: Sequence[Item] = (),
) -> bool:
    """Write what an item came to, and return whether that was taken: it is not where the lease was lost.

    Args:
        state: `queued` puts it back, to be taken after `wait` seconds.
        ms: milliseconds that it took.
        answers: what its queries came to; those that stored an entry are noted.
        more: items that follow from it.
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
        worth.add_stored(cursor, run_id, item.ordinal, answers)
        if more:
            add(cursor, run_id, more)
    return True


def renew(database: LogDatabase, run_id: str, lease: str) -> None:
    """Keep what is held under a lease."""
    with database.transaction() as cursor:
        cursor.execute(_RENEW, {"run": run_id, "lease": lease, "seconds": LEASE_SECONDS})
        cursor.execute(_SIGN_OF_LIFE, {"run": run_id})


def give_up(database: LogDatabase, attempts: int) -> None:
    """Fail the items, of any run, whose worker died `attempts` times while it had them."""
    with database.transaction() as cursor:
        cursor.execute(_DEADLY, (attempts,))


def pairs_in(database: LogDatabase, run_id: str) -> set[tuple[str | None, str]]:
    """The fingerprint and the identity's name of each item of a run."""
    rows = database.rows("SELECT fingerprint, identity FROM superset_ext.cache_warm_item WHERE run_id = %s", (run_id,))
    return {(row["fingerprint"], row["identity"]) for row in rows}
