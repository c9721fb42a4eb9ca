"""Rows of Superset's metadata database, in an app of Superset's and in one without Superset."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from superset_ext.core.driver_errors import first_line
from superset_ext.errors import SupersetExtError
from superset_ext.host.regions import HELD

_URI = "SQLALCHEMY_DATABASE_URI"
_CONNECTING = ("connect_args", "creator", "module")  # of `create_engine`'s options: how a connection is made


def metadata_rows(sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query that any database understands; needs an app context.

    Raises:
        SupersetExtError: in an app without Superset, the database does not answer or refuses.
    """
    from flask import current_app

    if HELD in current_app.extensions:
        return _rows_of(current_app.config, sql)
    from superset_ext.host.models import db

    return [tuple(row) for row in db.session.execute(sql)]


def _rows_of(config: Mapping[str, Any], sql: str) -> list[tuple[Any, ...]]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    theirs = config.get("SQLALCHEMY_ENGINE_OPTIONS") or {}
    options = {name: theirs[name] for name in _CONNECTING if name in theirs}
    try:
        with closing(create_engine(config[_URI], poolclass=NullPool, **options).connect()) as connection:
            return [tuple(row) for row in connection.execute(sql)]
    except SQLAlchemyError as error:
        raise SupersetExtError(f"the metadata database: {first_line(error)}; check {_URI} and that server") from None
