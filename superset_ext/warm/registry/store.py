"""The registry: chart requests that were made, how often and when, by whom, and what they cost.

Written off the request's path: a request appends to a bounded queue, the recorder's thread folds the
queue and writes it every few seconds. Requests are upserted, so any number of processes may do so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from superset_ext.core.bounded_queue import BoundedQueue
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.rows import fitting_id
from superset_ext.events import Answer
from superset_ext.settings import Settings
from superset_ext.warm.registry import worth
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.who import Who

logger = logging.getLogger(__name__)

QUEUE = 5000  # requests that wait for the next flush; what comes on top is dropped and counted
MAX_BODY = 256 * 1024
HOURS = 168
USES_HALF_DAYS, HOURS_HALF_DAYS = 7.0, 28.0
_PAGE = 500
_OWN = ("all", "chart:", "dashboard:")
_NEVER = datetime.fromtimestamp(0, UTC)


def decayed(age: str, days: str) -> str:
    """SQL for what is left after the interval `age` of what halves in `days`; no float8 is as small as 2 ** -1100."""
    return f"power(0.5::float8, least(900, greatest(extract(epoch FROM {age})::float8, 0) / 86400 / {days}))"


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
# Who is led to other keys now, because a rule or the dataset changed, is no longer an example of the old ones.
_MOVED = """
DELETE FROM superset_ext.cache_request_scope s USING (VALUES %s) AS v (fingerprint, who, scope)
WHERE s.fingerprint = v.fingerprint AND s.who = v.who AND s.scope <> v.scope
"""
_SCOPES = f"""
INSERT INTO superset_ext.cache_request_scope AS r
    (fingerprint, scope, cache_keys, who, user_id, guest, uses, used_at) VALUES %s
ON CONFLICT (fingerprint, scope) DO UPDATE SET
    uses = r.uses * {_HALVED.format(days=USES_HALF_DAYS)} + excluded.uses,
    used_at = greatest(r.used_at, excluded.used_at),
    who = excluded.who, user_id = excluded.user_id, guest = excluded.guest
"""  # noqa: S608  (only constants)
# A user whose keys are known has no row for the time when they were not.
_KNOWN = """
DELETE FROM superset_ext.cache_request_scope s USING superset_ext.cache_request_scope k
WHERE s.fingerprint = ANY(%s) AND s.cache_keys = '{}' AND k.fingerprint = s.fingerprint AND k.who = s.who
    AND k.cache_keys <> '{}'
"""
# What is being written just now is left for the next time, so that nobody waits for the other.
_FORGET = f"""
DELETE FROM superset_ext.cache_request WHERE fingerprint IN (
    SELECT fingerprint FROM superset_ext.cache_request
    WHERE last_seen < now() - make_interval(days => %(days)s) OR fingerprint IN (
        SELECT fingerprint FROM superset_ext.cache_request
        ORDER BY uses * {decayed("now() - used_at", str(USES_HALF_DAYS))} DESC, last_seen DESC OFFSET %(rows)s
    )
    FOR UPDATE SKIP LOCKED
)
"""  # noqa: S608  (only constants)
# Whose requests may have been forgotten by now, since nobody made them.
_FORGET_PAGES = """
DELETE FROM superset_ext.cache_discovery WHERE discovered_at < now() - make_interval(days => %(days)s)
"""


@dataclass(frozen=True, slots=True)
class Use:
    """One request that was made.

    Attributes:
        request: whole.
        who: as whom.
        answers: of its queries.
        at: when, in seconds since the epoch.
        people: whether somebody wanted the answer; discovery and warming only want to know it.
        seen: whether a page has asked it, which warming by itself does not show.
    """

    request: ChartRequest
    who: Who
    answers: tuple[Answer, ...]
    ids: tuple[int | None, int | None, int | None, int | None]
    at: float
    people: bool = True
    seen: bool = True


@dataclass(slots=True)
class _Row:
    use: Use
    uses: int = 0
    hours: dict[int, int] = field(default_factory=dict)
    cost_ms: float | None = None
    scopes: dict[str, tuple[Use, int]] = field(default_factory=dict)
    seen: bool = False
    tags: set[str] = field(default_factory=set)

    def add(self, use: Use) -> None:
        self.use = use
        # Only what is read may be looked for; who asked, and where, is in columns of its own.
        self.tags |= {tag for answer in use.answers for tag in answer.tags if not tag.startswith(_OWN)}
        self.seen = self.seen or use.seen
        if use.people:
            self.uses += 1
            hour = hour_of_week(use.at)
            self.hours[hour] = self.hours.get(hour, 0) + 1
        cost = sum(answer.cost_ms for answer in use.answers)
        self.cost_ms = cost or self.cost_ms
        scope = scope_of(use)
        for other in [name for name, (last, _) in self.scopes.items() if name != scope and last.who == use.who]:
            del self.scopes[other]  # led to other keys since then
        self.scopes[scope] = (use, self.scopes.get(scope, (use, 0))[1] + use.people)


class Registry:
    """What this process has seen, and the way into the tables.

    Args:
        database: the log database.
        settings: `warm_keep_values` and the registry's bounds.
    """

    def __init__(self, database: LogDatabase, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self.queue: BoundedQueue[Use] = BoundedQueue(QUEUE)

    def note(self, use: Use) -> None:
        """Remember a request that was made; cheap enough for the request's path."""
        body = use.request.body or ""
        if len(body) > MAX_BODY or "\0" in body:
            self.queue.drop()
        else:
            self.queue.put(use)

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            LogUnavailable: the database does not answer; what was noted is dropped, since the registry is
                a memory of habits and not a ledger.
        """
        uses = self.queue.take()
        self.queue.done(uses)
        if uses and self._settings.warm_capture:
            self.write(uses)
        if uses:
            worth.note(self._database, [use for use in uses if use.people])
        if dropped := self.queue.newly_dropped():
            logger.warning(
                "superset_ext: %d requests were not remembered for warming, being too many or too large", dropped
            )

    def write(self, uses: Iterable[Use]) -> None:
        """Fold uses into the tables, in one transaction.

        Raises:
            LogUnavailable: see `LogDatabase.transaction`.
        """
        from psycopg2.extras import execute_values

        rows = self._folded(uses)
        names = sorted(rows)  # all processes lock rows in one order
        scopes = [(name, scope, *each) for name in names for scope, each in sorted(rows[name].scopes.items())]
        moved = [(name, use.who.name, scope) for name, scope, use, _ in scopes if use.answers]
        with self._database.transaction() as cursor:
            execute_values(cursor, _REQUESTS, [self._request(name, rows[name]) for name in names], page_size=_PAGE)
            if moved:
                execute_values(cursor, _MOVED, moved, page_size=_PAGE)
            execute_values(cursor, _SCOPES, _one_a_scope(scopes), page_size=_PAGE)
            cursor.execute(_KNOWN, (names,))

    def _folded(self, uses: Iterable[Use]) -> dict[str, _Row]:
        rows: dict[str, _Row] = {}
        for use in uses:
            rows.setdefault(use.request.fingerprint(), _Row(use)).add(use)
        return rows

    def _request(self, name: str, row: _Row) -> tuple[Any, ...]:
        use, request, at = row.use, row.use.request, _moment(row.use.at)
        kept = self._settings.warm_keep_values or not request.has_literals()
        hours = [float(row.hours.get(hour, 0)) for hour in range(HOURS)] if row.hours else []
        return (
            name, request.kind, request.path, request.args if kept else "", request.body if kept else None,
            request.is_form, kept, *map(fitting_id, use.ids), max(1, len(use.answers)),
            float(row.uses), at, hours, at,
            at if row.seen else _NEVER, row.cost_ms, sorted(row.tags),
        )  # fmt: skip

    def drop(self, fingerprint: str) -> None:
        """Forget a request that can never be answered any more.

        Raises:
            LogUnavailable: see `LogDatabase.transaction`.
        """
        with self._database.transaction() as cursor:
            cursor.execute("DELETE FROM superset_ext.cache_request WHERE fingerprint = %s", (fingerprint,))

    def forget(self) -> int:
        """Drop what is too old or too much; how many requests that were.

        Raises:
            LogUnavailable: see `LogDatabase.transaction`.
        """
        bounds = {"days": self._settings.warm_registry_days, "rows": self._settings.warm_registry_rows}
        with self._database.transaction(60.0) as cursor:
            cursor.execute(_FORGET, bounds)
            forgotten = int(cursor.rowcount)
            cursor.execute(_FORGET_PAGES, bounds)
        return forgotten


def scope_of(use: Use) -> str:
    """The access scope that a use shows: a hash of its cache keys, or who where they are not known."""
    keys = sorted({answer.key for answer in use.answers})
    return sha256("\n".join(keys).encode()).hexdigest()[:32] if keys else f"unknown:{use.who.name}"


def hour_of_week(at: float) -> int:
    """0 for Monday 0:00 to 1:00 UTC, 167 for the last hour of Sunday."""
    moment = _moment(at)
    return moment.weekday() * 24 + moment.hour


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _one_a_scope(scopes: Sequence[tuple[str, str, Use, int]]) -> list[tuple[Any, ...]]:
    return [
        (
            name, scope, sorted({answer.key for answer in use.answers}), use.who.name, use.who.user_id, use.who.guest,
            float(uses), _moment(use.at),
        )
        for name, scope, use, uses in scopes
    ]  # fmt: skip


def now_use(request: ChartRequest, who: Who, ids: tuple[int | None, ...], answers: tuple[Answer, ...] = ()) -> Use:
    """A use that nobody wanted: discovery's, or, with answers, warming's own."""
    dashboard, chart, dataset, database = ids
    return Use(
        request, who, answers, (dashboard, chart, dataset, database), time.time(), people=False, seen=not answers
    )
