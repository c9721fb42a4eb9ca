"""What people have sent from SQL Lab, as Superset's own history has it."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.host.explaining import Asking

MOST = 500  # that are looked at, the latest first


def sent_lately(database_id: int) -> Iterator[Asking]:
    """The statements that ended well, the latest first, as they were sent. Needs an app context."""
    from superset.models.sql_lab import Query

    from superset_ext.host.models import db

    rows = (
        db.session.query(Query)
        .filter(Query.database_id == database_id, Query.status == "success", Query.executed_sql.isnot(None))
        .order_by(Query.id.desc())
        .limit(MOST)
    )
    for row in rows:
        yield Asking(row.database, str(row.executed_sql), row.catalog, row.schema or None)
