"""Windows onto other sources: tables of one of Superset's databases whose rows lie in another one.

Superset's meta database names its databases in its tables' names. Catalogs of Trino and the like, databases attached in
DuckDB, links, and the servers of PostgreSQL's foreign tables do not: a setting says what lies behind each. Where it
does not say, that may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

from superset_ext.cache.sent import Sent
from superset_ext.cache.tags import ANY, object_tag, table_tags
from superset_ext.core.signals import count_failure
from superset_ext.host.sql import parsed
from superset_ext.settings import Catalog
from superset_ext.sqltables.reads import Reads, Window
from superset_ext.sqltables.table import Table

META = "superset"
# Engines whose catalogs are mostly other systems; in the others they are parts of the same one.
_OPEN = frozenset({"trino", "presto", "duckdb", "motherduck", "starrocks", "pydoris", "drill", "dremio", "sqlite"})
_ATTACHING = frozenset({"duckdb", "motherduck", "sqlite"})  # `a.t` may be a table of an attached database there
_OWN = frozenset({"main", "temp", "system", "memory", "information_schema", "pg_catalog"})  # catalogs and schemas there
_DEEPEST = 3  # a window may show a window

# A table that lies elsewhere: the name of its database, `None` if that is not known; its catalog there; itself.
_View = tuple[str | None, str, Table]
Follow = Callable[[Any, frozenset[Table]], "Collection[Table] | None"]
Foreign = Callable[[Any, frozenset[Table]], "Collection[Window]"]


class Windows:
    """Looks through windows.

    Args:
        catalogs: what lies behind which catalog.
        follow: a place and tables of it to all that they depend on.
        foreign: a place and tables of it to the foreign tables among that, each with its server as the catalog.
    """

    def __init__(self, catalogs: Iterable[Catalog], follow: Follow, foreign: Foreign = lambda *_: ()) -> None:
        self._behind = {
            (catalog.database.casefold(), catalog.catalog.casefold()): catalog.source for catalog in catalogs
        }
        self._follow, self._foreign = follow, foreign

    def tags(self, place: Any, read: Reads) -> set[str]:
        """The tags of what SQL reads of other databases; `any` where that cannot be known.

        Args:
            place: where it was sent: something with a `database`, a `schema` and a `catalog`.
        """
        try:
            return self._tags(place, read, 0)
        except Exception as error:  # noqa: BLE001  (Superset's metadata, or an engine spec)
            count_failure("looking through to other databases", error)
            return {ANY}

    def _tags(self, place: Any, read: Reads, depth: int) -> set[str]:
        engine = place.database.db_engine_spec.engine
        is_meta = engine == META
        if depth > _DEEPEST or (read.tables is None and (is_meta or engine in _OPEN)):
            return {ANY}
        views = _named(read) if is_meta else (*self._views(place, read), *self._foreign_views(place, read))
        return set[str]().union(*(self._through(*view, depth) for view in views))

    def _views(self, place: Any, read: Reads) -> Iterator[_View]:
        database = place.database
        name, engine = database.database_name.casefold(), database.db_engine_spec.engine
        windows = list(_windows(place, read, engine))
        own = _own_catalogs(database, engine) if windows else frozenset()
        for catalog, table in windows:
            source = self._source(name, catalog)
            is_open = engine in _OPEN or catalog.startswith("@") or "." in catalog
            if source is None and is_open and catalog not in own:
                yield None, "", table
            elif source is not None and source.casefold() != name:
                yield source, "", table

    def _foreign_views(self, place: Any, read: Reads) -> Iterator[_View]:
        """The foreign tables of a PostgreSQL, of which one may lie in the same database."""
        name = place.database.database_name.casefold()
        for server, table in self._foreign(place, read.tables or frozenset()):
            yield (self._source(name, server) if table.name else None), "", table

    def _source(self, database: str, catalog: str) -> str | None:
        """What the setting says of a catalog; of a linked server's database it may name the server alone."""
        names = (catalog, catalog.removeprefix("@"), catalog.partition(".")[0])
        return next((self._behind[database, name] for name in names if (database, name) in self._behind), None)

    def _through(self, source: str | None, catalog: str, table: Table, depth: int) -> set[str]:
        databases = _databases(source) if source else []
        if not databases:
            return {ANY}
        tags = set()
        for database in databases:
            place = Sent(database, None, catalog or None)
            tags |= table_tags(database.id, self._follow(place, frozenset({table})))
            tags |= {object_tag("database", database.id)}
            tags |= self._tags(place, Reads(frozenset({table})), depth + 1)
        return tags


def refused(sql: str) -> list[str]:
    """The tables in SQL for the meta database that the current user may not read.

    It checks that while it runs a query, which an answer from the cache skips.
    """
    script = parsed(sql, META)
    statements = script.statements if script is not None else ()
    names = {table.table for statement in statements for table in statement.tables}  # in capitals, as rights are
    return sorted(name for name in names if not _may_read(name))


def _may_read(name: str) -> bool:
    from superset.exceptions import SupersetSecurityException
    from superset.sql.parse import Table as Named

    from superset_ext.host.services import security_manager

    database_name, *within = (unquote(part) for part in name.split("."))
    catalog, schema = ["", "", *within[:-1]][-2:]
    try:
        for database in _databases(database_name) if within else ():
            named = Named(within[-1], schema or None, catalog or None)
            security_manager.raise_for_access(database=database, table=named)
        return True
    except SupersetSecurityException:
        return False


def _named(read: Reads) -> Iterator[_View]:
    """The tables of the meta database; `database[[.catalog].schema].table` is one name there."""
    for table in read.tables or ():
        database, *within = (unquote(part) for part in table.name.split("."))
        if within:
            catalog, schema = ["", "", *within[:-1]][-2:]
            yield database, catalog, Table(schema, within[-1])


def _windows(place: Any, read: Reads, engine: str) -> Iterator[Window]:
    """Names with a catalog, and those that have one by where they are looked up."""
    yield from read.windows
    bare = (read.tables or frozenset()) - {window.table for window in read.windows}
    if place.catalog:
        yield from (Window(place.catalog.casefold(), table) for table in bare)
    if engine in _ATTACHING:
        here = (place.schema or "").casefold()
        yield from (
            Window(table.schema, Table("", table.name)) for table in bare if table.schema not in {"", here} | _OWN
        )


def _own_catalogs(database: Any, engine: str) -> frozenset[str]:
    """The catalogs in which a database's own tables are."""
    if engine not in _OPEN:
        return frozenset()
    if engine in _ATTACHING:
        file = (database.url_object.database or "").removeprefix("md:").partition("?")[0]
        return _OWN | {PurePath(file).stem.casefold()}
    return frozenset({(database.get_default_catalog() or "").casefold(), "system", "information_schema"})


def _databases(name: str) -> list[Any]:
    """Superset's databases of a name, in capitals or not."""
    from superset_ext.host.models import Database, db

    names = db.session.query(Database.id, Database.database_name)
    ids = [number for number, known in names if known.casefold() == name.casefold()]
    return [db.session.get(Database, number) for number in ids]
