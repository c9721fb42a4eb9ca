"""From the targets of a run to dashboards, charts and datasets of Superset.

Everything here reads Superset's metadata, on whatever database that is, within an app context.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from superset_ext.compat import UTC
from superset_ext.host.people import roles_of
from superset_ext.settings import OWN_DASHBOARDS, Targets

POPULAR_DAYS, HALF_DAYS = 30, 7.0
# What Superset's log calls the opening of a dashboard; its other rows are of charts, queries and events within.
OPENED = ("DashboardRestApi.get", "dashboard")


@dataclass(slots=True)
class Resolved:
    """What a run's targets come to: ids, and a line for each target that does not exist."""

    dashboards: set[int] = field(default_factory=set)
    charts: set[int] = field(default_factory=set)
    datasets: set[int] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)


def resolved(options: Targets) -> Resolved:
    """The dashboards, charts and datasets that the targets name, and which of those do not exist."""
    from superset_ext.host.models import Dashboard, Slice, SqlaTable

    result = Resolved(set(options.dashboards), set(options.charts), set(options.datasets))
    if options.all_dashboards:
        result.dashboards |= _existing(Dashboard) - _own_dashboards()
    if "popular_dashboards" in options.targets:
        result.dashboards |= set(popular_dashboards(options.limit)) - _own_dashboards()
    _add_tagged(options.tags, result)
    for what, model in (("dashboards", Dashboard), ("charts", Slice), ("datasets", SqlaTable)):
        ids: set[int] = getattr(result, what)
        gone = ids - _existing(model, ids)
        result.missing += [f"{what.removesuffix('s')} {number} does not exist" for number in sorted(gone)]
        ids -= gone
    return result


def _own_dashboards() -> set[int]:
    """The package's own, whose charts are never cached."""
    from superset_ext.host.models import Dashboard, db

    return {number for (number,) in db.session.query(Dashboard.id).filter(Dashboard.slug.in_(OWN_DASHBOARDS))}


def _existing(model: Any, among: Iterable[int] | None = None) -> set[int]:
    from superset_ext.host.models import db

    query = db.session.query(model.id)
    if among is not None:
        query = query.filter(model.id.in_(list(among)))
    return {row[0] for row in query}


def popular_dashboards(limit: int) -> list[int]:
    """Ids of the dashboards that people opened most of late, by Superset's own log; a week halves a view's weight."""
    from superset_ext.host.models import Dashboard

    weights: dict[int, float] = defaultdict(float)
    for dashboard, day, views in _views_by_day():
        age = (datetime.now(UTC).date() - _date(day)).days
        weights[dashboard] += views * 0.5 ** (age / HALF_DAYS)
    return sorted(_existing(Dashboard, weights), key=lambda number: -weights[number])[:limit]


def _views_by_day() -> list[tuple[int, Any, int]]:
    from sqlalchemy import func

    from superset_ext.host.models import Log, db

    day = func.date(Log.dttm)
    query = db.session.query(Log.dashboard_id, day, func.count()).filter(
        Log.action.in_(OPENED), Log.dashboard_id.isnot(None), Log.dashboard_id != 0, Log.dttm >= _popular_since()
    )
    return [tuple(row) for row in query.group_by(Log.dashboard_id, day)]


def _popular_since() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) - timedelta(days=POPULAR_DAYS)


def _date(day: Any) -> date:
    """A day of the metadata database, which may be SQLite, where it is text."""
    return day if isinstance(day, date) else datetime.fromisoformat(str(day)).date()


def _add_tagged(tags: Iterable[str], result: Resolved) -> None:
    """Dashboards, charts and datasets with one of the tags (Superset's feature TAGGING_SYSTEM)."""
    from superset_ext.host.models import ObjectType, Tag, TaggedObject, db

    places = {
        ObjectType.dashboard: result.dashboards,
        ObjectType.chart: result.charts,
        ObjectType.dataset: result.datasets,
    }
    for name in tags:
        tag = db.session.query(Tag).filter(Tag.name == name).one_or_none()
        if tag is None:
            result.missing.append(f"tag {name!r} does not exist")
            continue
        for tagged in db.session.query(TaggedObject).filter(TaggedObject.tag_id == tag.id):
            if tagged.object_type in places:
                places[tagged.object_type].add(tagged.object_id)


def changed_at() -> dict[int | None, float]:
    """When each dataset was last changed, and under `None` the row-level rules, in seconds since 1970."""
    from superset_ext.host.models import RowLevelSecurityFilter, SqlaTable, db

    # Superset writes these times in the server's local time, without a zone; so `timestamp` takes them.
    times: dict[int | None, float] = {
        number: moment.timestamp() for number, moment in db.session.query(SqlaTable.id, SqlaTable.changed_on) if moment
    }
    rules = [moment.timestamp() for (moment,) in db.session.query(RowLevelSecurityFilter.changed_on) if moment]
    return times | {None: max(rules, default=0.0)}


def representatives(dashboards: Iterable[int]) -> Mapping[int, list[tuple[frozenset[int], int]]]:
    """For each dashboard, of each set of roles among those who opened it of late, the last user who did.

    Row-level rules go by role, so that users of the same roles see the same. What depends on the user alone
    (impersonation, user functions in Jinja) is known only when that user has asked.
    """
    last = _last_views(dashboards)
    roles = roles_of({user for _, user, _ in last})
    users: dict[int, dict[frozenset[int], int]] = defaultdict(dict)
    for dashboard, user, _ in last:
        if user in roles:
            users[dashboard].setdefault(roles[user], user)
    return {dashboard: list(by_roles.items()) for dashboard, by_roles in users.items()}


def _last_views(dashboards: Iterable[int]) -> list[tuple[int, int, datetime]]:
    """When each user last opened each dashboard, the latest first."""
    from sqlalchemy import func

    from superset_ext.host.models import Log, db

    query = db.session.query(Log.dashboard_id, Log.user_id, func.max(Log.dttm)).filter(
        Log.action.in_(OPENED),
        Log.dashboard_id.in_(list(dashboards)),
        Log.user_id.isnot(None),
        Log.dttm >= _popular_since(),
    )
    return sorted(query.group_by(Log.dashboard_id, Log.user_id), key=lambda row: row[2], reverse=True)
