"""Rows of Superset's metadata database, in an app of Superset's and in one without Superset."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from superset_ext.host.regions import HELD


def metadata_rows(sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query that any database understands; needs an app context."""
    from flask import current_app

    if HELD in current_app.extensions:
        return _rows_of(str(current_app.config["SQLALCHEMY_DATABASE_URI"]), sql)
    from superset_ext.host.models import db

    return [tuple(row) for row in db.session.execute(sql)]


def _rows_of(uri: str, sql: str) -> list[tuple[Any, ...]]:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    with closing(create_engine(uri, poolclass=NullPool).connect()) as connection:
        return [tuple(row) for row in connection.execute(sql)]
