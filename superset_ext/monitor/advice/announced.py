"""Whose data changes are told: only there may an answer live longer than it does by the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from superset_ext.cache.tags import object_tag, table_tag
from superset_ext.freshness.watch.service import HEARTBEAT
from superset_ext.sqltables.table import Table

Ask = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]

TOLD_DAYS = 5  # so that what loads on working days is still told after a long weekend
TOLD_TIMES = 2  # a single one may have been somebody's hand, and not a job that does it every time
PROBE_LATE_SECONDS = 300.0  # a probe whose turn was that long ago is not asked any more
LISTENER_SECONDS = 60.0

# Jobs tell by webhook or command. What a watch or a probe has told once says nothing of whether it still is there.
_PUSHED = """
SELECT tag FROM superset_ext.cache_invalidation_log, unnest(tags) AS tag
WHERE operation = 'data_update' AND source IN ('webhook', 'cli') AND (tag LIKE 'table:%%' OR tag LIKE 'dataset:%%')
    AND created_at >= %(now)s - make_interval(days => %(days)s) AND created_at <= %(now)s
GROUP BY tag HAVING count(DISTINCT id) >= %(times)s
"""
_WATCHED = """
SELECT database_id, schema_name AS schema, table_name AS name FROM superset_ext.cache_watch
WHERE NOT EXISTS (SELECT FROM superset_ext.heartbeat WHERE name = %(listener)s
    AND at < %(now)s - make_interval(secs => %(silent)s))
"""
# One that fails for longer than its patience drops its charts at each of its turns; until then it says nothing.
_PROBED = """
SELECT database_id, coalesce(table_schema, '') AS schema, table_name AS name, dataset_id
FROM superset_ext.cache_probe
WHERE answered_at IS NOT NULL AND failed_since IS NULL AND next_at >= %(now)s - make_interval(secs => %(late)s)
"""


def announced_tags(ask: Ask, now: datetime) -> frozenset[str]:
    """The tags of all tables and datasets whose data changes are announced by a job, a watch or a probe."""
    values = {
        "now": now, "days": TOLD_DAYS, "times": TOLD_TIMES, "late": PROBE_LATE_SECONDS, "listener": HEARTBEAT,
        "silent": LISTENER_SECONDS,
    }  # fmt: skip
    pushed = {str(row["tag"]) for row in ask(_PUSHED, values)}
    return frozenset(pushed.union(*map(_tags, [*ask(_WATCHED, values), *ask(_PROBED, values)])))


def _tags(row: Mapping[str, Any]) -> Iterable[str]:
    """What is stamped when this watch or probe tells; see `freshness.events`."""
    if row.get("dataset_id") is not None:
        yield object_tag("dataset", row["dataset_id"])
    if row["database_id"] is not None and row["name"] is not None:
        yield table_tag(row["database_id"], Table(row["schema"], row["name"]))
        yield table_tag(row["database_id"], Table("", row["name"]))
