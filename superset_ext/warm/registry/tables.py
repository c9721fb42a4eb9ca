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
from superset_ext.core.ids import fitting_id
from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import Settings
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import HOURS, Use, hour_of_week

_PAGE = 500  # rows of one INSERT
_ABOUT_THE_ASKER = ("all", "chart:", "dashboard:")  # tags that say who asked and where, not what was read
_NEVER = datetime.fromtimestamp(0, UTC)
# An identity that is led to other keys now, because a rule or the dataset changed, leaves its old access scope.
_MOVED = """
DELETE FROM superset_ext.cache_access_scope s USING (VALUES %s) AS v (fingerprint, identity, access_scope)
WHERE s.fingerprint = v.fingerprint AND s.identity = v.identity AND s.access_scope <> v.access_scope
"""
# Once the keys of an identity are known, its row from the time before goes.
_KNOWN = """
DELETE FROM superset_ext.cache_access_scope s USING superset_ext.cache_access_scope k
WHERE s.fingerprint = ANY(%s) AND s.cache_keys = '{}' AND k.fingerprint = s.fingerprint AND k.identity = s.identity
    AND k.cache_keys <> '{}'
"""
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
    requests = [_request_row(name, rows[name], settings) for name in names]
    scopes = [_scope_row(name, *scope) for name in names for scope in sorted(rows[name].access_scopes.items())]
    moved = [(name, identity, scope) for name, scope, keys, identity, *_ in scopes if keys]
    with database.transaction() as cursor:
        execute_values(cursor, database.statement("requests_used"), requests, page_size=_PAGE)
        if moved:
            execute_values(cursor, _MOVED, moved, page_size=_PAGE)
        execute_values(cursor, database.statement("access_scopes_used"), scopes, page_size=_PAGE)
        cursor.execute(_KNOWN, (names,))


def _added_up(uses: Iterable[Use]) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    names: dict[ChartRequest, str] = {}  # most are asked again and again, and a name takes a tenth of a millisecond
    for use in uses:
        name = names.get(use.request)
        if name is None:
            name = names[use.request] = use.request.fingerprint()
        rows.setdefault(name, _Row(use)).add(use)
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


def _scope_row(name: str, scope: str, of: tuple[Use, int]) -> tuple[Any, ...]:
    use, uses = of
    identity = use.identity
    return (
        name, scope, use.cache_keys, identity.name, identity.user_id, identity.guest, float(uses),
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
        cursor.execute(database.statement("requests_forgotten"), bounds)
        forgotten = int(cursor.rowcount)
        cursor.execute(_FORGET_PAGES, bounds)
    return forgotten


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
