"""What the tables that SQL names are made of.

Whoever reports that a table changed does not know which views show it. So an entry carries the tags of everything that
its SQL depends on; and a change of a partition is a change of the table that it is a part of.

Only PostgreSQL is asked. Elsewhere a view counts as a table: somebody must report that the view itself changed.

Answers are remembered for a while, by each process for itself, behind a stamp that all of them see. If somebody gives a
view another definition and nobody reports it, the view is followed to its old tables until then, and what is stored in
the meantime carries their tags for as long as it lives.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.core.warn_once import warn
from superset_ext.freshness.relations.answers import MISSING, Answers, Key, Known
from superset_ext.freshness.relations.effects import written_with
from superset_ext.freshness.relations.postgresql import Relations, ask
from superset_ext.sqltables.reads import Window
from superset_ext.sqltables.table import Table

if TYPE_CHECKING:
    from superset_ext.host.models import Database

ENGINE = "postgresql"  # databases that only speak its protocol have other names in Superset, and other catalogs
SECONDS = 60.0
# For this transaction. The planner takes the query for a large one; compiling it would take longer than running it.
_LIMITS = """SELECT set_config(name, value, true)
FROM pg_settings JOIN (VALUES ('statement_timeout', '3000'), ('jit', 'off')) AS own (name, value) USING (name)"""
_Tables = frozenset[Table]


class _Behind(NamedTuple):
    """What lies behind a table.

    Attributes:
        tables: everything that it depends on, `None` if that cannot be known.
        windows: the foreign tables among it, by their servers.
    """

    tables: _Tables | None
    windows: frozenset[Window] = frozenset()


class Followed:
    """What the tables of Superset's databases depend on.

    Nothing is raised. If a source does not answer, the result is `None`, and a warning a minute has the reason.

    Args:
        seconds: how long an answer is remembered.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._answers = Answers(seconds)

    def tables(
        self,
        database: Database,
        schema: str | None,
        catalog: str | None,
        tables: Collection[Table],
        now: Known | None = None,
    ) -> _Tables | None:
        """Everything that SQL which reads these tables depends on, or `None` if that cannot be known.

        Args:
            database: on which the SQL runs.
            schema, catalog: where names without them are looked up, or `None` for the database's own.
            tables: as they are written in the SQL.
            now: see `Answers.get`.
        """
        try:
            if database.db_engine_spec.engine != ENGINE:
                return self._named(database, schema or "", catalog, tables, now)
            return self._followed(database, schema or "", catalog, tables, now)
        except Exception as error:  # noqa: BLE001  (Superset raises what it likes over a database that is not well set)
            _warn(database, error)
            return None

    def windows(
        self,
        database: Database,
        schema: str | None,
        catalog: str | None,
        tables: Collection[Table],
        now: Known | None = None,
    ) -> frozenset[Window]:
        """The foreign tables that SQL which reads these tables reads; the arguments are those of `tables`."""
        if database.db_engine_spec.engine != ENGINE:
            return frozenset()
        behind = self._behind(database, schema or "", catalog, tables, now)
        return frozenset[Window]().union(*(one.windows for one in behind))

    def changed(self, database: Database, tables: Collection[Table]) -> _Tables | None:
        """The tables that changed if these did: with a partition, what it is a part of. `None` if it may be any table.

        The source is asked each time, because a partition may have been attached a moment ago.

        Args:
            database: of the tables.
            tables: an unknown schema stands for the database's default one.
        """
        try:
            if database.db_engine_spec.engine != ENGINE:
                return self._named(database, "", None, tables, None)
            relations = _at_source(database, "", None, tables, parted=True)
            return _Tables().union(*(relations.ancestors(table) for table in tables))
        except Exception as error:  # noqa: BLE001  (a driver, a tunnel or OAuth raises what it likes)
            _warn(database, error)
            return None

    def written(self, database: Database, tables: Collection[Table], functions: Collection[str]) -> _Tables | None:
        """The tables that changed if rows of these were written: with a view, what is behind it, and so on.

        Args:
            database: of the tables.
            tables: an unknown schema stands for the database's default one.
            functions: names of functions that may have been called.

        Returns:
            `None` if it may be any table.
        """
        if database.db_engine_spec.engine != ENGINE:
            return self.changed(database, tables)
        try:
            with _connected(database, "", None) as connection:
                return written_with(connection, tables, functions)
        except Exception as error:  # noqa: BLE001  (as in `changed`)
            _warn(database, error)
            return None

    def forget(self, database_id: int) -> None:
        """Ask this database again: a view may have another definition. Other processes see it by the stamp."""
        self._answers.forget(database_id)

    def _followed(
        self, database: Database, schema: str, catalog: str | None, tables: Collection[Table], now: Known | None
    ) -> _Tables | None:
        """Everything that the tables depend on, as remembered or as the source tells."""
        depends = [one.tables for one in self._behind(database, schema, catalog, tables, now)]
        return None if None in depends else _Tables().union(*filter(None, depends))

    def _behind(
        self, database: Database, schema: str, catalog: str | None, tables: Collection[Table], now: Known | None
    ) -> Collection[_Behind]:
        """What lies behind each table, as remembered or as the source tells."""
        place = (*_place(database, catalog), schema)
        known = {table: self._answers.get((*place, table), now) for table in tables}
        if new := [table for table, behind in known.items() if behind is MISSING]:
            age = self._answers.age(database.id)
            asked = _asked(database, schema, catalog, new)
            self._answers.put(database.id, age, now, {(*place, table): behind for table, behind in asked.items()})
            known |= asked
        return known.values()

    def _named(
        self, database: Database, schema: str, catalog: str | None, tables: Collection[Table], now: Known | None
    ) -> _Tables | None:
        """The tables, each with a schema if the database has schemas."""
        if not schema and not all(table.schema for table in tables):
            default = self._default_schema(database, catalog, now)
            if default is None:
                return None
            schema = default
        return _Tables(Table(table.schema or schema, table.name) for table in tables)

    def _default_schema(self, database: Database, catalog: str | None, now: Known | None) -> str | None:
        key = _place(database, catalog)
        schema: Any = self._answers.get(key, now)
        if schema is MISSING:
            age = self._answers.age(database.id)
            schema = _default_schema(database, catalog)
            self._answers.put(database.id, age, now, {key: schema})
        return None if schema is None else str(schema)


def _place(database: Database, catalog: str | None) -> Key:
    """Where names are looked up. An impersonated user may have a search path of their own.

    When a database was edited does not tell two edits within a second apart where MySQL keeps it.
    """
    from superset_ext.host.services import get_username

    user = get_username() if database.impersonate_user else None
    return database.id, str(database.changed_on), str(database.sqlalchemy_uri), str(database.extra), catalog, user


def _asked(database: Database, schema: str, catalog: str | None, tables: Collection[Table]) -> dict[Table, _Behind]:
    """What the source tells that lies behind the tables."""
    try:
        relations = _at_source(database, schema, catalog, tables)
    except Exception as error:  # noqa: BLE001  (as in `changed`; remembered too, so that few wait for a slow source)
        _warn(database, error)
        return dict.fromkeys(tables, _Behind(None))
    return {table: _Behind(_depends(database, table, relations, schema), relations.windows(table)) for table in tables}


def _depends(database: Database, table: Table, relations: Relations, schema: str) -> _Tables | None:
    try:
        return relations.depends(table, schema)
    except LookupError as error:
        _warn(database, error)
        return None


def _at_source(
    database: Database, schema: str, catalog: str | None, tables: Collection[Table], parted: bool = False
) -> Relations:
    """What the source tells, on the search path that Superset gives its queries."""
    with _connected(database, schema, catalog) as connection:
        return ask(connection, tables, parted)


@contextmanager
def _connected(database: Database, schema: str, catalog: str | None) -> Iterator[Any]:
    with database.get_raw_connection(catalog=catalog, schema=schema or None) as connection:
        cursor = connection.cursor()
        cursor.execute(_LIMITS)
        cursor.close()
        yield connection


def _default_schema(database: Database, catalog: str | None) -> str | None:
    """The schema of names without one: `""` if there are no schemas, `None` if the source does not tell."""
    try:
        return database.get_default_schema(catalog) or ""
    except Exception as error:  # noqa: BLE001  (as in `changed`)
        _warn(database, error)
        return None


def _warn(database: Database, error: Exception) -> None:
    """Warn once a minute why tables could not be followed. PostgreSQL's errors hold no password; others may."""
    driver = driver_error(error)
    safe = isinstance(error, LookupError) or hasattr(driver, "pgcode")
    reason = first_line(error) if safe else type(driver).__name__
    warn(
        f"views {database.id}",
        "what tables of the database %r depend on cannot be known, so that any change of it drops what reads them: %s",
        database.database_name,
        reason,
    )
