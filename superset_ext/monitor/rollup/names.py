"""What Superset calls its objects, for logs that may be on another server than its metadata."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.monitor.rollup.views import Name


def names() -> Iterator[Name]:
    """Dashboards, charts, datasets and databases; needs the app's context."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    kinds = {
        "dashboard": (Dashboard.id, Dashboard.dashboard_title), "chart": (Slice.id, Slice.slice_name),
        "dataset": (SqlaTable.id, SqlaTable.table_name), "database": (Database.id, Database.database_name),
    }  # fmt: skip
    for kind, columns in kinds.items():
        for number, name in db.session.query(*columns):
            yield kind, number, name or f"#{number}"
