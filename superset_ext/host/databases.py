"""Superset's databases, by name or id. Everything here needs an app context."""

from __future__ import annotations

from typing import Any

from superset_ext.core.within import within
from superset_ext.errors import UnknownDatabase
from superset_ext.host.reserved import DATABASE_UUID

METADATA_SECONDS = 3.0  # that a change waits for Superset's metadata, beside the session of whoever made it
_SHOWN = 10  # names that an error lists
_NAMES = "SELECT id, database_name FROM dbs"


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
    from superset_ext.host.models import Database, db

    return db.session.query(Database.id).filter(_is_named(named)).first() is not None


def name_of(number: int) -> str:
    """What to call a database in a sentence, also one that Superset has no more."""
    database = _find(number)
    return f"database {number}" if database is None else f"{database.database_name} (id {number})"


def names_by_id(metadata_uri: str) -> dict[int, str]:
    """The names of Superset's databases, for a command that does without Superset; empty where its metadata database
    does not tell them."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        with create_engine(metadata_uri, poolclass=NullPool).connect() as connection:
            return {int(number): str(name) for number, name in connection.exec_driver_sql(_NAMES)}
    except (SQLAlchemyError, ImportError):
        return {}


def databases_of_people(engine: str) -> list[tuple[int, str]]:
    """Ids and names of all databases of an engine (Superset's word for it) but that of the performance dashboards.

    Nothing is decrypted: a database whose secrets were written with another SECRET_KEY is one as well.
    """
    from superset_ext.host.models import Database, db

    columns = Database.id, Database.database_name, Database.sqlalchemy_uri, Database.uuid
    rows = db.session.query(*columns).order_by(Database.id)
    return [(number, name) for number, name, uri, uuid in rows if _is_of(engine, uri) and str(uuid) != DATABASE_UUID]


def _is_of(engine: str, uri: str) -> bool:
    from sqlalchemy.engine.url import make_url

    try:
        return bool(make_url(uri).get_backend_name() == engine)
    except Exception:  # noqa: BLE001  (Superset keeps whatever was typed)
        return False


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


def database_apart(database_id: int) -> Any:
    """A database, detached, or `None` if there is none. Superset's own session is not used: it may be in its commit.

    Raises:
        TimeoutError: the metadata database has not answered within `METADATA_SECONDS`.
    """
    from superset_ext.host.models import db

    return within(METADATA_SECONDS, _apart, db.engine, database_id)


def _apart(engine: Any, database_id: int) -> Any:
    from sqlalchemy.orm import Session

    from superset_ext.host.models import Database

    with Session(engine) as session:
        database = session.get(Database, database_id)
        if database is not None:
            _ = database.ssh_tunnel  # as in `detached`
            session.expunge(database)
        return database


def _find(named: int | str) -> Any | None:
    from superset_ext.host.models import Database, db

    return db.session.query(Database).filter(_is_named(named)).one_or_none()


def _is_named(named: int | str) -> Any:
    from superset_ext.host.models import Database

    return (Database.id if isinstance(named, int) else Database.database_name) == named


def _known() -> str:
    """The names of the first databases, and how many there are besides."""
    from superset_ext.host.models import Database, db

    names = [row[0] for row in db.session.query(Database.database_name).order_by(Database.database_name)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
