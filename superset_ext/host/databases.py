"""Superset's databases by name or id."""

from __future__ import annotations

from typing import Any


def database_of(named: int | str) -> Any | None:
    """Superset's database of this id or name, or `None`. Needs an app context."""
    from superset_ext.host.models import Database, db

    column = Database.id if isinstance(named, int) else Database.database_name
    return db.session.query(Database).filter(column == named).one_or_none()


def database_typed(text: str) -> Any | None:
    """The database that somebody has typed: by its name, else by its id, or `None`. Needs an app context."""
    database = database_of(text)
    return database_of(int(text)) if database is None and text.isdecimal() else database


def database_names() -> list[str]:
    """The names of all databases, in order. Needs an app context."""
    from superset_ext.host.models import Database, db

    return [row[0] for row in db.session.query(Database.database_name).order_by(Database.database_name)]


def unknown_database(named: int | str) -> str:
    """The line to show where Superset has no such database."""
    return f"Superset has no database {named!r}; it has: {', '.join(database_names()) or 'none'}"


def detach(database: Any) -> Any:
    """Give Superset's own connection back before a source is asked, which may take its time; the database, detached."""
    from superset_ext.host.models import db

    _ = database.ssh_tunnel  # it is loaded on first use, which is too late once detached
    db.session.expunge(database)
    db.session.close()
    return database
