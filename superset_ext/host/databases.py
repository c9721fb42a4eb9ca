"""Superset's databases, by name or id. Everything here but `database_in_own_session` needs an app context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from superset_ext.errors import UnknownDatabase
from superset_ext.host.reserved import DATABASE_UUID

_SHOWN = 10  # names that an error lists


def database_of(named: int | str) -> Any:
    """Superset's database of this id or name.

    Raises:
        UnknownDatabase: there is none.
    """
    database = _find(named)
    if database is None:
        raise UnknownDatabase(f"Superset has no database {named!r}; it has: {_known()}")
    return database


def database_typed(text: str) -> Any:
    """The database that a person has typed: by its name, or else by its id.

    Raises:
        UnknownDatabase: there is none.
    """
    is_id = text.isdecimal() and _find(text) is None
    return database_of(int(text) if is_id else text)


def has_database(named: int | str) -> bool:
    """Whether Superset has a database of this id or name."""
    return _find(named) is not None


def databases_of_people(engine: str) -> list[tuple[int, str]]:
    """Ids and names of all databases of an engine (Superset's word for it) but that of the performance dashboards."""
    from superset_ext.host.models import Database, db

    rows = db.session.query(Database).order_by(Database.id)
    return [(row.id, row.database_name) for row in rows if row.backend == engine and str(row.uuid) != DATABASE_UUID]


def has_table(database: Any, name: str, schema: str | None) -> bool:
    """Whether a database has a table or view of this name, in capitals or not; `schema` is its default one if `None`.

    Raises:
        Exception: whatever the driver raises if the source does not answer.
    """
    from superset.sql.parse import Table

    with database.get_inspector(schema=schema) as inspector:
        names = {*inspector.get_table_names(schema), *inspector.get_view_names(schema)}
        if hasattr(inspector, "get_materialized_view_names"):
            names |= set(inspector.get_materialized_view_names(schema))
        return name.casefold() in {known.casefold() for known in names} or database.has_table(Table(name, schema))


def detached(database: Any) -> Any:
    """The database, detached: a source may answer late or never, and must not hold Superset's own connection."""
    from superset_ext.host.models import db

    _ = database.ssh_tunnel  # loads on first use, which is too late once the database is detached
    db.session.expunge(database)
    db.session.close()
    return database


@contextmanager
def database_in_own_session(database_id: int) -> Iterator[Any]:
    """A database, or `None` if there is none. It has a session of its own: the caller's may be in its commit."""
    from sqlalchemy.orm import Session

    from superset_ext.host.models import Database, db

    with Session(db.engine) as session:
        yield session.get(Database, database_id)


def _find(named: int | str) -> Any | None:
    from superset_ext.host.models import Database, db

    column = Database.id if isinstance(named, int) else Database.database_name
    return db.session.query(Database).filter(column == named).one_or_none()


def _known() -> str:
    """The names of the first databases, and how many there are besides."""
    from superset_ext.host.models import Database, db

    names = [row[0] for row in db.session.query(Database.database_name).order_by(Database.database_name)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
