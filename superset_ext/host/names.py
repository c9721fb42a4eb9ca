"""Superset's names of its objects, for a log that may be on another server than its metadata."""

from __future__ import annotations

from collections.abc import Iterator

# Kind (dashboard, chart, dataset or database), Superset's id, and its name.
Name = tuple[str, int, str]


def object_names() -> Iterator[Name]:
    """The names of all dashboards, charts, datasets and databases; needs an app context."""
    from superset_ext.host.models import Dashboard, Database, Slice, SqlaTable, db

    kinds = {
        "dashboard": (Dashboard.id, Dashboard.dashboard_title), "chart": (Slice.id, Slice.slice_name),
        "dataset": (SqlaTable.id, SqlaTable.table_name), "database": (Database.id, Database.database_name),
    }  # fmt: skip
    for kind, columns in kinds.items():
        for number, name in db.session.query(*columns):
            yield kind, number, name or f"#{number}"
