"""From what a run is asked to warm to dashboards, charts and datasets of Superset.

Everything here reads Superset's metadata, on whatever database that is, within an app context.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from superset_ext.settings import OWN_DASHBOARDS, Targets

POPULAR_DAYS, HALF_DAYS = 30, 7.0
# What Superset's log calls the opening of a dashboard; its other rows are of charts, queries and events within.
OPENED = ("DashboardRestApi.get", "dashboard")


@dataclass(slots=True)
class Page:
    """A page of Superset whose requests are to be known: a dashboard, or a chart by itself.

    Attributes:
        name: `dashboard:<id>` or `chart:<id>`.
        version: changes when the page, its charts or its datasets change.
        charts: ids of the charts on it.
        changed_at: when it last changed.
    """

    name: str
    version: str
    charts: frozenset[int]
    changed_at: datetime


@dataclass(slots=True)
class Named:
    """What a run's targets come to."""

    dashboards: set[int] = field(default_factory=set)
    charts: set[int] = field(default_factory=set)
    datasets: set[int] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)


def named(options: Targets) -> Named:
    """The dashboards, charts and datasets that the targets name, and which of those do not exist."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    found = Named(set(options.dashboards), set(options.charts), set(options.datasets))
    if options.all_dashboards:
        found.dashboards |= _ids(Dashboard) - _own_dashboards()
    if "popular_dashboards" in options.targets:
        found.dashboards |= set(popular_dashboards(options.limit)) - _own_dashboards()
    _tagged(options.tags, found)
    for what, model in (("dashboards", Dashboard), ("charts", Slice), ("datasets", SqlaTable)):
        wanted: set[int] = getattr(found, what)
        gone = wanted - _ids(model, wanted)
        found.missing += [f"{what.removesuffix('s')} {each} does not exist" for each in sorted(gone)]
        wanted -= gone
    return found


def _own_dashboards() -> set[int]:
    """The package's own, whose charts are never cached."""
    from superset.extensions import db
    from superset.models.dashboard import Dashboard

    return {number for (number,) in db.session.query(Dashboard.id).filter(Dashboard.slug.in_(OWN_DASHBOARDS))}


def _ids(model: Any, among: Iterable[int] | None = None) -> set[int]:
    from superset.extensions import db

    query = db.session.query(model.id)
    if among is not None:
        query = query.filter(model.id.in_(list(among)))
    return {row[0] for row in query}


def popular_dashboards(limit: int) -> list[int]:
    """The dashboards that people opened most of late, by Superset's own log; a week halves a view's weight."""
    weights: dict[int, float] = defaultdict(float)
    for dashboard, day, views in _views():
        age = (datetime.now(UTC).date() - _date(day)).days
        weights[dashboard] += views * 0.5 ** (age / HALF_DAYS)
    living = _living(weights)
    return sorted(living, key=lambda each: -weights[each])[:limit]


def _living(dashboards: Iterable[int]) -> set[int]:
    from superset.models.dashboard import Dashboard

    return _ids(Dashboard, dashboards)


def _views() -> list[tuple[int, Any, int]]:
    from sqlalchemy import func
    from superset.extensions import db
    from superset.models.core import Log

    day = func.date(Log.dttm)
    since = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=POPULAR_DAYS)
    query = db.session.query(Log.dashboard_id, day, func.count()).filter(
        Log.action.in_(OPENED), Log.dashboard_id.isnot(None), Log.dashboard_id != 0, Log.dttm >= since
    )
    return [tuple(row) for row in query.group_by(Log.dashboard_id, day)]


def _date(day: Any) -> Any:
    return day if hasattr(day, "year") else datetime.fromisoformat(str(day)).date()


def _tagged(tags: Iterable[str], found: Named) -> None:
    """Dashboards, charts and datasets with one of the tags (Superset's feature TAGGING_SYSTEM)."""
    from superset.extensions import db
    from superset.tags.models import ObjectType, Tag, TaggedObject

    places = {
        ObjectType.dashboard: found.dashboards,
        ObjectType.chart: found.charts,
        ObjectType.dataset: found.datasets,
    }
    for name in tags:
        tag = db.session.query(Tag).filter(Tag.name == name).one_or_none()
        if tag is None:
            found.missing.append(f"tag {name!r} does not exist")
            continue
        for each in db.session.query(TaggedObject).filter(TaggedObject.tag_id == tag.id):
            if each.object_type in places:
                places[each.object_type].add(each.object_id)


def pages(dashboards: Iterable[int], charts: Iterable[int]) -> list[Page]:
    """The pages of dashboards and of charts by themselves, with their versions."""
    from superset.extensions import db
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    found = [_page("dashboard", each, each.slices) for each in _all(db, Dashboard, dashboards)]
    return found + [_page("chart", each, [each]) for each in _all(db, Slice, charts)]


def _all(db: Any, model: Any, ids: Iterable[int]) -> Any:
    return db.session.query(model).filter(model.id.in_(sorted(ids))).order_by(model.id)


def _page(kind: str, model: Any, slices: Iterable[Any]) -> Page:
    charts = list(slices)
    sources = {chart.datasource for chart in charts if chart.datasource is not None}
    parts = [("page", model.id, model.changed_on)]
    parts += sorted(("chart", chart.id, chart.changed_on) for chart in charts)
    parts += sorted(("dataset", source.id, source.changed_on) for source in sources)
    version = sha256(repr(parts).encode()).hexdigest()[:32]
    changed = max((part[2] for part in parts if part[2]), default=datetime.min)
    return Page(f"{kind}:{model.id}", version, frozenset(chart.id for chart in charts), changed)


def changed_at() -> dict[int | None, float]:
    """When each dataset was last changed, and under `None` the row-level rules, in seconds since the epoch."""
    from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
    from superset.extensions import db

    # Superset writes these times in the server's local time, without a zone; so `timestamp` takes them.
    found: dict[int | None, float] = {
        number: moment.timestamp() for number, moment in db.session.query(SqlaTable.id, SqlaTable.changed_on) if moment
    }
    rules = [moment.timestamp() for (moment,) in db.session.query(RowLevelSecurityFilter.changed_on) if moment]
    return found | {None: max(rules, default=0.0)}


def representatives(dashboards: Iterable[int]) -> Mapping[int, list[tuple[frozenset[int], int]]]:
    """For each dashboard, of each set of roles among who opened it of late, the last user who did.

    Row-level rules go by role, so that users of the same roles see the same. What depends on the user
    alone (impersonation, user functions in Jinja) is known only when that user has asked.
    """
    from sqlalchemy import func
    from superset.extensions import db
    from superset.models.core import Log

    wanted = list(dashboards)
    since = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=POPULAR_DAYS)
    query = db.session.query(Log.dashboard_id, Log.user_id, func.max(Log.dttm)).filter(
        Log.action.in_(OPENED), Log.dashboard_id.in_(wanted), Log.user_id.isnot(None), Log.dttm >= since
    )
    views = sorted(query.group_by(Log.dashboard_id, Log.user_id), key=lambda row: row[2], reverse=True)
    roles = roles_of({row[1] for row in views})
    found: dict[int, dict[frozenset[int], int]] = defaultdict(dict)
    for dashboard, user, _ in views:
        if user in roles:
            found[dashboard].setdefault(roles[user], user)
    return {dashboard: list(users.items()) for dashboard, users in found.items()}


def roles_of(users: Iterable[int]) -> dict[int, frozenset[int]]:
    """The roles of active users, those of their groups included."""
    from superset.extensions import security_manager

    found = {}
    for each in users:
        user = security_manager.get_user_by_id(each)
        if user is not None and user.is_active:
            own = [*user.roles, *(role for group in getattr(user, "groups", []) for role in group.roles)]
            found[each] = frozenset(role.id for role in own)
    return found
