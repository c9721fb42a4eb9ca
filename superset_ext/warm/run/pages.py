"""Pages of Superset, a dashboard or a chart by itself, and which of them nobody has opened since they changed.

`pages` reads Superset's metadata and needs an app context; `undiscovered` raises `LogUnavailable` when the log
database does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.host.page_access import Kind

_DISCOVERED = "SELECT page, version FROM superset_ext.cache_discovery WHERE page = ANY(%s)"
_ASKED_SINCE = """
SELECT DISTINCT chart_id FROM superset_ext.cache_request
WHERE replayable AND chart_id IS NOT NULL AND last_seen > %(since)s
    AND (dashboard_id = %(dashboard)s OR %(dashboard)s IS NULL)
"""
_HIDDEN = "SELECT DISTINCT dashboard_id, chart_id FROM superset_ext.cache_request WHERE NOT replayable"


@dataclass(slots=True)
class Page:
    """A page whose requests are to be known.

    Attributes:
        kind: what it shows.
        id: Superset's id of that.
        version: changes when the page, its charts or its datasets change.
        charts: ids of the charts on it.
        changed_at: when it last changed, in the server's local time without a zone, as Superset writes it.
    """

    kind: Kind
    id: int
    version: str
    charts: frozenset[int]
    changed_at: datetime

    @property
    def name(self) -> str:
        """`dashboard:<id>` or `chart:<id>`."""
        return f"{self.kind}:{self.id}"

    @property
    def dashboard_id(self) -> int | None:
        """Its id, where it is a dashboard."""
        return self.id if self.kind == "dashboard" else None

    @property
    def chart_id(self) -> int | None:
        """Its id, where it is a chart."""
        return self.id if self.kind == "chart" else None


def pages(dashboards: Iterable[int], charts: Iterable[int]) -> list[Page]:
    """The pages of those dashboards and charts that exist, by id."""
    from superset_ext.host.models import Dashboard, Slice

    of_dashboards = [_page("dashboard", row, row.slices) for row in _rows(Dashboard, dashboards)]
    return of_dashboards + [_page("chart", row, [row]) for row in _rows(Slice, charts)]


def _rows(model: Any, ids: Iterable[int]) -> Any:
    from superset_ext.host.models import db

    return db.session.query(model).filter(model.id.in_(sorted(ids))).order_by(model.id)


def _page(kind: Kind, model: Any, slices: Iterable[Any]) -> Page:
    charts = list(slices)
    sources = {chart.datasource for chart in charts if chart.datasource is not None}
    parts = [("page", model.id, model.changed_on)]
    parts += sorted(("chart", chart.id, chart.changed_on) for chart in charts)
    parts += sorted(("dataset", source.id, source.changed_on) for source in sources)
    version = sha256(repr(parts).encode()).hexdigest()[:32]
    changed_at = max((part[2] for part in parts if part[2]), default=datetime.min)
    return Page(kind, model.id, version, frozenset(chart.id for chart in charts), changed_at)


def undiscovered(database: LogDatabase, wanted: Iterable[Page]) -> list[Page]:
    """The pages whose requests are not all known: they changed, were never opened, or their values are not kept."""
    listed = list(wanted)
    if not listed:
        return []
    rows = database.rows(_DISCOVERED, ([page.name for page in listed],))
    versions = {row["page"]: row["version"] for row in rows}
    hidden = database.rows(_HIDDEN)
    return [page for page in listed if _hides(page, hidden) or _is_unknown(database, page, versions.get(page.name))]


def _hides(page: Page, hidden: list[dict[str, Any]]) -> bool:
    """Whether the page makes requests whose values are not kept."""
    return any(row[f"{page.kind}_id"] == page.id for row in hidden)


def _is_unknown(database: LogDatabase, page: Page, discovered: str | None) -> bool:
    return discovered != page.version and not _is_asked_whole(database, page)


def _is_asked_whole(database: LogDatabase, page: Page) -> bool:
    """Whether people have asked for all of it since it changed."""
    since = page.changed_at.astimezone(UTC) if page.changed_at != datetime.min else datetime.now(UTC)
    rows = database.rows(_ASKED_SINCE, {"since": since, "dashboard": page.dashboard_id})
    return page.charts <= {row["chart_id"] for row in rows}
