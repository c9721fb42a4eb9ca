"""The registry's tables: `cache_request`, and the access scopes of each request. Writing, dropping and forgetting.

Requests are upserted in one order, so that any number of processes may write at once. Every function raises
`LogUnavailable` when the log database does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.rows import fitting_id
from superset_ext.settings import Settings
from superset_ext.warm.registry.decay import HOURS_HALF_DAYS, USES_HALF_DAYS, decayed
from superset_ext.warm.registry.uses import HOURS, Use, hour_of_week

_PAGE = 500  # rows of one INSERT
_ABOUT_THE_ASKER = ("all", "chart:", "dashboard:")  # tags that say who asked and where, not what was read
_NEVER = datetime.fromtimestamp(0, UTC)
_HALVED = decayed("excluded.used_at - r.used_at", "{days}")
_REQUESTS = f"""
INSERT INTO superset_ext.cache_request AS r (
    fingerprint, kind, path, args, body, is_form, replayable, dashboard_id, chart_id, dataset_id, database_id,
    queries, uses, used_at, hours, first_seen, last_seen, cost_ms, tags
) VALUES %s
ON CONFLICT (fingerprint) DO UPDATE SET
    uses = r.uses * {_HALVED.format(days=USES_HALF_DAYS)} + excluded.uses,
    hours = superset_ext.added_hours(r.hours, {_HALVED.format(days=HOURS_HALF_DAYS)}, excluded.hours),
    used_at = greatest(r.used_at, excluded.used_at),
    last_seen = greatest(r.last_seen, excluded.last_seen),
    body = excluded.body, args = excluded.args, replayable = excluded.replayable,
    dashboard_id = coalesce(excluded.dashboard_id, r.dashboard_id),
    chart_id = coalesce(excluded.chart_id, r.chart_id),
    dataset_id = coalesce(excluded.dataset_id, r.dataset_id),
    database_id = coalesce(excluded.database_id, r.database_id),
    queries = greatest(r.queries, excluded.queries),
    tags = CASE WHEN cardinality(excluded.tags) = 0 THEN r.tags ELSE excluded.tags END,
    cost_ms = coalesce(r.cost_ms * 2 / 3 + excluded.cost_ms / 3, excluded.cost_ms, r.cost_ms)
"""  # noqa: S608  (only constants)
# An identity that is led to other keys now, because a rule or the dataset changed, leaves its old access scope.
_MOVED = """
DELETE FROM superset_ext.cache_access_scope s USING (VALUES %s) AS v (fingerprint, identity, access_scope)
WHERE s.fingerprint = v.fingerprint AND s.identity = v.identity AND s.access_scope <> v.access_scope
"""
_SCOPES = f"""
INSERT INTO superset_ext.cache_access_scope AS r
    (fingerprint, access_scope, cache_keys, identity, user_id, guest, uses, used_at) VALUES %s
ON CONFLICT (fingerprint, access_scope) DO UPDATE SET
    uses = r.uses * {_HALVED.format(days=USES_HALF_DAYS)} + excluded.uses,
    used_at = greatest(r.used_at, excluded.used_at),
    identity = excluded.identity, user_id = excluded.user_id, guest = excluded.guest
"""  # noqa: S608  (only constants)
# Once the keys of an identity are known, its row from the time before goes.
_KNOWN = """
DELETE FROM superset_ext.cache_access_scope s USING superset_ext.cache_access_scope k
WHERE s.fingerprint = ANY(%s) AND s.cache_keys = '{}' AND k.fingerprint = s.fingerprint AND k.identity = s.identity
    AND k.cache_keys <> '{}'
"""
# Rows that somebody is writing just now are left for the next time, so that nobody waits.
_FORGET = f"""
DELETE FROM superset_ext.cache_request WHERE fingerprint IN (
    SELECT fingerprint FROM superset_ext.cache_request
    WHERE last_seen < now() - make_interval(days => %(days)s) OR fingerprint IN (
        SELECT fingerprint FROM superset_ext.cache_request
        ORDER BY uses * {decayed("now() - used_at", USES_HALF_DAYS)} DESC, last_seen DESC OFFSET %(rows)s
    )
    FOR UPDATE SKIP LOCKED
)
"""  # noqa: S608  (only constants)
# The requests of a page that was discovered so long ago may be forgotten by now.
_FORGET_PAGES = """
DELETE FROM superset_ext.cache_discovery WHERE discovered_at < now() - make_interval(days => %(days)s)
"""


@dataclass(slots=True)
class _Row:
    """The uses of one request, added up."""

    last: Use
    uses: int = 0
    hours: dict[int, int] = field(default_factory=dict)
    cost_ms: float | None = None
    access_scopes: dict[str, tuple[Use, int]] = field(default_factory=dict)
    on_page: bool = False
    tags: set[str] = field(default_factory=set)

    def add(self, use: Use) -> None:
        self.last = use
        self.tags |= {tag for answer in use.answers for tag in answer.tags if not tag.startswith(_ABOUT_THE_ASKER)}
        self.on_page = self.on_page or use.on_page
        if use.wanted:
            self.uses += 1
            hour = hour_of_week(use.at)
            self.hours[hour] = self.hours.get(hour, 0) + 1
        self.cost_ms = sum(answer.cost_ms for answer in use.answers) or self.cost_ms
        self._add_access_scope(use)

    def _add_access_scope(self, use: Use) -> None:
        name = use.access_scope
        scopes = self.access_scopes
        moved = [other for other, (last, _) in scopes.items() if other != name and last.identity == use.identity]
        for other in moved:
            del scopes[other]
        scopes[name] = (use, scopes.get(name, (use, 0))[1] + use.wanted)


def write(database: LogDatabase, settings: Settings, uses: Iterable[Use]) -> None:
    """Add uses to the tables, in one transaction."""
    from psycopg2.extras import execute_values

    rows = _added_up(uses)
    names = sorted(rows)  # all processes lock rows in one order
    scopes = [(name, *entry) for name in names for _, entry in sorted(rows[name].access_scopes.items())]
    moved = [(name, use.identity.name, use.access_scope) for name, use, _ in scopes if use.answers]
    requests = [_request_row(name, rows[name], settings) for name in names]
    with database.transaction() as cursor:
        execute_values(cursor, _REQUESTS, requests, page_size=_PAGE)
        if moved:
            execute_values(cursor, _MOVED, moved, page_size=_PAGE)
        execute_values(cursor, _SCOPES, [_scope_row(*entry) for entry in scopes], page_size=_PAGE)
        cursor.execute(_KNOWN, (names,))


def _added_up(uses: Iterable[Use]) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    for use in uses:
        rows.setdefault(use.request.fingerprint(), _Row(use)).add(use)
    return rows


def _request_row(name: str, row: _Row, settings: Settings) -> tuple[Any, ...]:
    request, ids, at = row.last.request, row.last.ids, _moment(row.last.at)
    kept = settings.warm_keep_values or not request.has_literals()
    hours = [float(row.hours.get(hour, 0)) for hour in range(HOURS)] if row.hours else []
    return (
        name, request.kind, request.path, request.args if kept else "", request.body if kept else None,
        request.is_form, kept, fitting_id(ids.dashboard), fitting_id(ids.chart), fitting_id(ids.dataset),
        fitting_id(ids.database), max(1, len(row.last.answers)), float(row.uses), at, hours, at,
        at if row.on_page else _NEVER, row.cost_ms, sorted(row.tags),
    )  # fmt: skip


def _scope_row(name: str, use: Use, uses: int) -> tuple[Any, ...]:
    identity = use.identity
    return (
        name, use.access_scope, use.cache_keys, identity.name, identity.user_id, identity.guest, float(uses),
        _moment(use.at),
    )  # fmt: skip


def drop(database: LogDatabase, fingerprint: str) -> None:
    """Drop a request that can never be answered again."""
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM superset_ext.cache_request WHERE fingerprint = %s", (fingerprint,))


def forget(database: LogDatabase, settings: Settings) -> int:
    """Delete what is too old or over the bounds, and return how many requests that were."""
    bounds = {"days": settings.warm_registry_days, "rows": settings.warm_registry_rows}
    with database.transaction(60.0) as cursor:
        cursor.execute(_FORGET, bounds)
        forgotten = int(cursor.rowcount)
        cursor.execute(_FORGET_PAGES, bounds)
    return forgotten


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
