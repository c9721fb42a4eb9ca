"""What the tables that SQL names are made of: the tables behind a view, and those that a partition is a part of.

Somebody who says that a table changed does not know which views show it. So an entry carries the tags of all that its
SQL depends on; and who changed a partition changed the table that it is a part of.

Only PostgreSQL is asked. Elsewhere a view is a table like any other: it must itself be said to have changed. What a
source answers is remembered for a while, in each process by itself: a view that somebody gives another definition, and
nobody hears of it, is followed to its old tables until then, and what was stored in the meantime carries their tags for
as long as it lives.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.core.warn_once import warn
from superset_ext.freshness.relations.catalog import FOLLOW
from superset_ext.sqltables.table import Table

if TYPE_CHECKING:
    from superset.models.core import Database

ENGINE = "postgresql"  # what only speaks its language has another name in Superset, and other catalogs
SECONDS = 60.0
# For this transaction. The planner takes the query for a large one, and compiling it would take longer than running it.
_LIMITS = """SELECT set_config(name, value, true)
FROM pg_settings JOIN (VALUES ('statement_timeout', '3000'), ('jit', 'off')) AS own (name, value) USING (name)"""
_MOST = 10_000  # answers; beyond, all are forgotten, which costs some queries
_MISSING = object()
_Tables = frozenset[Table]
_Key = tuple[Any, ...]


class Relation(NamedTuple):
    """What a table depends on.

    Attributes:
        table: its real schema and name.
        kind: `self`, `view`, `parent` or `function`; see `freshness.catalog`.
    """

    table: Table
    kind: str


class Found(NamedTuple):
    """What a source says of its tables.

    Attributes:
        relations: of each table that it has.
        parted: whether it has tables that are made of others, if that was asked.
        spelled: those whose lower case it knows otherwise than we do, if one was not found.
    """

    relations: Mapping[Table, Collection[Relation]]
    parted: bool
    spelled: _Tables

    def of(self, table: Table) -> Collection[Relation]:
        """What one table depends on, itself included; nothing where it is not there.

        Raises:
            LookupError: it may be there after all.
        """
        found = self.relations.get(table, ())
        if not found and any(each.name == table.name and table.schema in ("", each.schema) for each in self.spelled):
            raise LookupError(f"it is not known which table {table} is: its name has letters that are folded otherwise")
        return found


def follow(connection: Any, tables: Collection[Table]) -> _Tables:
    """The tables and all that they depend on, under their real schemas; one that is not there stays as it is.

    Args:
        connection: to a PostgreSQL, the driver's or SQLAlchemy's; its search path is that of names without schema.
        tables: as they are written.

    Raises:
        LookupError: it cannot be told what one of them depends on.
    """
    found = ask(connection, tables)
    return _Tables().union(*(_depends(table, found, "") for table in tables))


def ask(connection: Any, tables: Collection[Table], parted: bool = False) -> Found:
    """What tables depend on, in one query; see `follow`."""
    names = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    relations: dict[Table, set[Relation]] = defaultdict(set)
    for asked_schema, asked_name, schema, name, kind in _rows(connection, {**names, "parted": parted}):
        relations[Table(asked_schema, asked_name)].add(Relation(Table(schema, name), kind))
    beside = relations.pop(Table("", ""), set())
    spelled = _Tables(table for table, kind in beside if kind == "spelled")
    return Found(relations, any(kind == "parted" for _, kind in beside), spelled)


def _rows(connection: Any, parameters: Mapping[str, Any]) -> list[Any]:
    cursor = getattr(connection, "connection", connection).cursor()
    try:
        cursor.execute(FOLLOW, parameters)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _depends(table: Table, found: Found, schema: str) -> _Tables:
    """What a table depends on, itself included; one that is not there is taken to be in `schema`.

    Raises:
        LookupError: it cannot be told.
    """
    relations = found.of(table)
    for relation in relations:
        if relation.kind == "function":
            raise LookupError(f"{table} is a view that calls {relation.table.name}(), which may read anything")
    return _Tables(relation.table for relation in relations) or _Tables({Table(table.schema or schema, table.name)})


def _ancestors(table: Table, found: Found) -> _Tables:
    """A table and what it is a part of.

    Raises:
        LookupError: it is no longer there, and may have been a part of one.
    """
    relations = found.of(table)
    if not relations and found.parted:
        raise LookupError(f"there is no {table}, which may have been a part of another table")
    return _Tables(each.table for each in relations if each.kind in ("self", "parent")) or _Tables({table})


class Followed:
    """What the tables of Superset's databases depend on, remembered for `seconds`.

    A source that does not answer costs the answer, which is then `None`, and a warning a minute; nothing is raised.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._known: dict[_Key, tuple[float, Any]] = {}
        self._forgotten: dict[int, int] = defaultdict(int)

    def tables(
        self, database: Database, schema: str | None, catalog: str | None, tables: Collection[Table]
    ) -> _Tables | None:
        """All that SQL which reads these tables depends on, `None` where that cannot be known.

        Args:
            database: on which it runs.
            schema, catalog: where names without them are looked up, `None` for the database's own.
            tables: as they are written in it.
        """
        try:
            if database.db_engine_spec.engine != ENGINE:
                return self._named(database, schema or "", catalog, tables)
            return self._followed(database, schema or "", catalog, tables)
        except Exception as error:  # noqa: BLE001  (whatever Superset raises over a database that is not well set)
            _warn(database, error)
            return None

    def changed(self, database: Database, tables: Collection[Table]) -> _Tables | None:
        """The tables that changed where these did: with a partition, what it is a part of. `None`: it may be any.

        The source is asked each time: a partition may have been attached a moment ago.

        Args:
            database: of which they are.
            tables: an unknown schema stands for the database's default one.
        """
        try:
            if database.db_engine_spec.engine != ENGINE:
                return self._named(database, "", None, tables)
            found = _at_source(database, "", None, tables, parted=True)
            return _Tables().union(*(_ancestors(table, found) for table in tables))
        except Exception as error:  # noqa: BLE001  (whatever a driver, a tunnel or OAuth raises)
            _warn(database, error)
            return None

    def forget(self, database_id: int) -> None:
        """Ask this database again: a view may have another definition. Other processes do not hear of it."""
        self._forgotten[database_id] += 1
        for key in list(self._known):
            if key[0] == database_id:
                self._known.pop(key, None)

    def _followed(
        self, database: Database, schema: str, catalog: str | None, tables: Collection[Table]
    ) -> _Tables | None:
        """All that the tables depend on, from memory where it is known."""
        place = (*_place(database, catalog), schema)
        known = {table: self._recall((*place, table)) for table in tables}
        if new := [table for table, depends in known.items() if depends is _MISSING]:
            age = self._forgotten[database.id]
            found = _new(database, schema, catalog, new)
            self._remember(database.id, age, {(*place, table): depends for table, depends in found.items()})
            known |= found
        return None if None in known.values() else _Tables().union(*known.values())

    def _named(self, database: Database, schema: str, catalog: str | None, tables: Collection[Table]) -> _Tables | None:
        """The tables, each with a schema where the database has such a thing."""
        if not schema and not all(table.schema for table in tables):
            key = _place(database, catalog)
            default = self._recall(key)
            if default is _MISSING:
                age = self._forgotten[database.id]
                default = _default_schema(database, catalog)
                self._remember(database.id, age, {key: default})
            if default is None:
                return None
            schema = default
        return _Tables(Table(table.schema or schema, table.name) for table in tables)

    def _recall(self, key: _Key) -> Any:
        until, value = self._known.get(key, (0.0, None))
        return value if time.monotonic() < until else _MISSING

    def _remember(self, database_id: int, age: int, values: Mapping[_Key, Any]) -> None:
        """Keep answers, unless they were to be forgotten while the source gave them."""
        if len(self._known) + len(values) > _MOST:
            self._known.clear()
        if self._forgotten[database_id] == age:
            until = time.monotonic() + self._seconds
            self._known.update({key: (until, value) for key, value in values.items()})


def _place(database: Database, catalog: str | None) -> _Key:
    """Where names are looked up. An impersonated user may have a search path of their own."""
    from superset.utils.core import get_username

    user = get_username() if database.impersonate_user else None
    return database.id, str(database.changed_on), catalog, user


def _new(database: Database, schema: str, catalog: str | None, tables: Collection[Table]) -> dict[Table, Any]:
    """What tables depend on, asked of the source; `None` where that cannot be told."""
    try:
        found = _at_source(database, schema, catalog, tables)
    except Exception as error:  # noqa: BLE001  (see changed; remembered too, so that few wait for a slow source)
        _warn(database, error)
        return dict.fromkeys(tables)
    return {table: _told(database, table, found, schema) for table in tables}


def _told(database: Database, table: Table, found: Found, schema: str) -> _Tables | None:
    try:
        return _depends(table, found, schema)
    except LookupError as error:
        _warn(database, error)
        return None


def _at_source(
    database: Database, schema: str, catalog: str | None, tables: Collection[Table], parted: bool = False
) -> Found:
    """What the source says, on the search path that Superset gives its queries."""
    with database.get_raw_connection(catalog=catalog, schema=schema or None) as connection:
        cursor = connection.cursor()
        cursor.execute(_LIMITS)
        cursor.close()
        return ask(connection, tables, parted)


def _default_schema(database: Database, catalog: str | None) -> str | None:
    """The schema of names without one, `""` where there are no schemas, `None` where the source does not say."""
    try:
        return database.get_default_schema(catalog) or ""
    except Exception as error:  # noqa: BLE001  (see changed)
        _warn(database, error)
        return None


def _warn(database: Database, error: Exception) -> None:
    """Say once a minute why tables could not be followed; a driver's error holds no password, others may."""
    driver = driver_error(error)
    safe = isinstance(error, LookupError) or hasattr(driver, "pgcode")
    reason = first_line(error) if safe else type(driver).__name__
    warn(
        f"views {database.id}",
        "what tables of the database %r depend on cannot be known, so that any change of it drops what reads them: %s",
        database.database_name,
        reason,
    )
