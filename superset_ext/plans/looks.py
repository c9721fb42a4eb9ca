"""When sources are looked at, as rows of `source_look`: soon after beat has begun, then now and then, by one process.

Beat asks every few minutes what is due, so that it may be stopped and begun as often as one likes.
"""

from __future__ import annotations

from typing import Any

from superset_ext.compat import StrEnum
from superset_ext.core.log_database import LogDatabase

CLAIMED = 900.0  # seconds, after which a look that did not end is made by another process
_CLAIM = """
INSERT INTO superset_ext.source_look (database_id, topic, next_at) VALUES (%s, %s, now() + make_interval(secs => %s))
ON CONFLICT (database_id, topic) DO UPDATE SET next_at = excluded.next_at WHERE source_look.next_at <= now()
RETURNING database_id
"""
_DONE = """
INSERT INTO superset_ext.source_look (database_id, topic, next_at, reason, looked_at)
VALUES (%s, %s, now() + make_interval(secs => %s), %s, CASE WHEN %s THEN now() END)
ON CONFLICT (database_id, topic) DO UPDATE SET next_at = excluded.next_at, reason = excluded.reason,
    looked_at = coalesce(excluded.looked_at, source_look.looked_at)
"""
_GONE = "DELETE FROM superset_ext.source_look WHERE topic = %s AND database_id <> ALL(%s)"
_LOOKS = """
SELECT look.database_id, superset_ext.object_label('database', look.database_id, name.name) AS database, look.topic,
    look.looked_at, look.next_at, look.reason
FROM superset_ext.source_look AS look
LEFT JOIN superset_ext.object_name AS name ON name.kind = 'database' AND name.id = look.database_id
ORDER BY look.topic, look.database_id
"""


class Topic(StrEnum):
    """What is looked at."""

    INDEXES = "indexes"
    UPKEEP = "upkeep"


class Looks:
    """The looks at one topic.

    Raises:
        LogUnavailable: of every method; the log does not answer.
    """

    def __init__(self, log: LogDatabase, topic: Topic) -> None:
        self._log, self._topic = log, topic

    def only(self, databases: list[int]) -> None:
        """Forget all other databases."""
        with self._log.transaction() as cursor:
            cursor.execute(_GONE, (self._topic.value, databases))

    def is_due(self, database_id: int) -> bool:
        """Whether it is this process that looks now."""
        return bool(self._log.rows(_CLAIM, (database_id, self._topic.value, CLAIMED)))

    def done(self, database_id: int, again: float, reason: str = "", looked: bool = True) -> None:
        """Say how a look went.

        Args:
            again: seconds until the next one.
            reason: why it could not be, or what was left out.
            looked: whether it could be.
        """
        with self._log.transaction() as cursor:
            cursor.execute(_DONE, (database_id, self._topic.value, again, reason, looked))


def looks(log: LogDatabase) -> list[dict[str, Any]]:
    """When each source was looked at, and why not.

    Raises:
        LogUnavailable: the log does not answer.
    """
    return log.rows(_LOOKS)
