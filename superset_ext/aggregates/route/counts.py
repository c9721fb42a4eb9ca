"""What is seen of aggregates in the log database: how each is, and why charts were not answered from one."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from superset_ext.aggregates.route.looked import Known
from superset_ext.aggregates.tables.catalogue import Kept
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.log_database import LogDatabase

_MOST = 1_000  # reasons of a process that wait to be written; what is beyond them is not counted
_REFUSED = """
INSERT INTO superset_ext.aggregate_refusal AS r (database_id, dataset_id, base, aggregate, reason, refused)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (database_id, dataset_id, base, aggregate, reason)
DO UPDATE SET refused = r.refused + excluded.refused, last_at = now()
"""
_STATE = """
INSERT INTO superset_ext.aggregate_state (
    database_id, aggregate, edition, base, title, state, reason, is_exact, upkeep, every_seconds, rows, bytes, as_of,
    refresh_seconds, built_at, refreshed_at
) VALUES (
    %(database_id)s, %(aggregate)s, %(edition)s, %(base)s, %(title)s, %(state)s, %(reason)s, %(is_exact)s, %(upkeep)s,
    %(every_seconds)s, %(rows)s, %(bytes)s, now() - make_interval(secs => %(age)s), %(seconds)s, %(built_at)s,
    %(refreshed_at)s
)
ON CONFLICT (database_id, aggregate) DO UPDATE SET
    edition = excluded.edition, base = excluded.base, title = excluded.title, state = excluded.state,
    reason = excluded.reason, is_exact = excluded.is_exact, upkeep = excluded.upkeep,
    every_seconds = excluded.every_seconds, rows = excluded.rows, bytes = excluded.bytes, as_of = excluded.as_of,
    refresh_seconds = excluded.refresh_seconds, built_at = excluded.built_at, refreshed_at = excluded.refreshed_at,
    seen_at = now()
"""
_IS_DUE = """
SELECT NOT EXISTS (
    SELECT FROM superset_ext.aggregate_state WHERE database_id = %s AND seen_at > now() - interval '20 seconds'
)
"""
_GONE = "DELETE FROM superset_ext.aggregate_state WHERE database_id = %s AND NOT aggregate = ANY (%s)"


class Counts:
    """Counts of this process, and rows of what it has seen.

    Args:
        database: the log database.
    """

    def __init__(self, database: LogDatabase) -> None:
        self._database = database
        reset_on_fork(self)

    def reset(self) -> None:
        """Have counted nothing."""
        self._lock = threading.Lock()
        self._refused: Counter[tuple[int, int, str, str, str]] = Counter()

    def refused(self, database_id: int, dataset_id: int, base: str, aggregate: str, reason: str) -> None:
        """Count a chart that was not answered from an aggregate; from none of them, where `aggregate` is empty."""
        key = (database_id, dataset_id, base, aggregate, reason)
        with self._lock:
            if key in self._refused or len(self._refused) < _MOST:
                self._refused[key] += 1

    def flush(self) -> None:
        """Write what was counted.

        Raises:
            LogUnavailable: the log database does not answer; nothing was written, and all of it waits.
        """
        with self._lock:
            owed = dict(self._refused)
        if not owed:
            return
        with self._database.transaction() as cursor:
            for key in sorted(owed):
                cursor.execute(_REFUSED, (*key, owed[key]))
        with self._lock:
            self._refused.subtract(owed)
            self._refused = +self._refused

    def noted(self, database_id: int, kept: Sequence[Kept]) -> None:
        """Write how the aggregates of a source are, unless another process has done so a moment ago.

        Raises:
            LogUnavailable: the log database does not answer.
        """
        with self._database.transaction() as cursor:
            cursor.execute(_IS_DUE, (database_id,))
            if cursor.fetchone()[0]:
                write_states(cursor, database_id, kept)


def write_states(cursor: Any, database_id: int, kept: Sequence[Kept]) -> None:
    """Write how the aggregates of a source are."""
    for one in sorted(kept, key=lambda one: one.name):
        cursor.execute(_STATE, _state(database_id, one))
    cursor.execute(_GONE, (database_id, [one.name for one in kept]))


def as_key(relation: str) -> str:
    """What stands for a relation: the name of a table, or of a query, which has values, a digest."""
    if relation.startswith('"'):
        return relation.replace('"', "").rpartition(".")[2]
    return f"query {hashlib.sha256(relation.encode()).hexdigest()[:16]}"


def _state(database_id: int, one: Kept) -> dict[str, Any]:
    base = one.definition.base
    return {
        "database_id": database_id, "aggregate": one.name, "edition": Known(one, (), 0.0).edition,
        "base": as_key(one.view.relation), "title": "a query" if base is None else ".".join(base),
        "state": one.state, "reason": one.reason, "is_exact": one.is_exact, "upkeep": one.definition.upkeep,
        "every_seconds": one.definition.every_seconds, "rows": one.view.rows, "bytes": one.bytes,
        "age": one.age_seconds, "seconds": one.seconds, "built_at": one.built_at, "refreshed_at": one.refreshed_at,
    }  # fmt: skip
