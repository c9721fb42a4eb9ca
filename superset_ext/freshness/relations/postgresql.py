"""What PostgreSQL's catalog tells of the relations between tables and views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from superset_ext.core.sql_folder import query_text
from superset_ext.sqltables.reads import Window
from superset_ext.sqltables.table import Table

_Tables = frozenset[Table]


class Relation(NamedTuple):
    """A table or function that a table depends on.

    Attributes:
        table: its real schema and name; those on its server, where it is foreign.
        kind: `self`, `view`, `parent`, `function` or `foreign`; see `sql/queries/postgresql_table_relations.sql`.
        server: of a foreign one.
    """

    table: Table
    kind: str
    server: str = ""


class Relations(NamedTuple):
    """What a source tells of its tables.

    Attributes:
        known: what each table depends on; a table that the source does not have is missing.
        parted: whether some tables are made of others, if that was asked.
        spelled: the tables whose lower case is another one there than here, if a table was not found.
    """

    known: Mapping[Table, Collection[Relation]]
    parted: bool
    spelled: _Tables

    def of(self, table: Table) -> Collection[Relation]:
        """What a table depends on, itself included; empty if it is not there.

        Raises:
            LookupError: it may be there under a name that is folded otherwise.
        """
        relations = self.known.get(table, ())
        if not relations and any(_may_be(table, other) for other in self.spelled):
            raise LookupError(f"it is not known which table {table} is: its name has letters that are folded otherwise")
        return relations

    def depends(self, table: Table, schema: str = "") -> _Tables:
        """What a table depends on, itself included. A table that is not there is taken to be in `schema`.

        Raises:
            LookupError: that cannot be known.
        """
        relations = self.of(table)
        for relation in relations:
            if relation.kind == "function":
                raise LookupError(f"{table} is a view that calls {relation.table.name}(), which may read anything")
        here = _Tables(relation.table for relation in relations if relation.kind != "foreign")
        return here or _Tables({Table(table.schema or schema, table.name)})

    def windows(self, table: Table) -> frozenset[Window]:
        """The foreign tables that are read with a table; one whose name on its server is unknown has none."""
        relations = self.known.get(table, ())
        return frozenset(Window(one.server.lower(), one.table) for one in relations if one.kind == "foreign")

    def ancestors(self, table: Table) -> _Tables:
        """A table, and the tables that it is a part of.

        Raises:
            LookupError: it is no longer there, and may have been a part of one.
        """
        relations = self.of(table)
        if not relations and self.parted:
            raise LookupError(f"there is no {table}, which may have been a part of another table")
        parts = _Tables(relation.table for relation in relations if relation.kind in ("self", "parent"))
        return parts or _Tables({table})


def follow(connection: Any, tables: Collection[Table]) -> _Tables:
    """The tables and everything that they depend on, with their real schemas. One that is not there stays as it is.

    Args:
        connection: to a PostgreSQL, the driver's or SQLAlchemy's. Its search path is that of names without a schema.
        tables: as they are written.

    Raises:
        LookupError: it cannot be known what one of them depends on.
    """
    relations = ask(connection, tables)
    return _Tables().union(*(relations.depends(table) for table in tables))


def ask(connection: Any, tables: Collection[Table], parted: bool = False) -> Relations:
    """What tables depend on, in one query; the arguments are those of `follow`."""
    names = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    known: dict[Table, set[Relation]] = defaultdict(set)
    for asked_schema, asked_name, schema, name, kind, server in _rows(connection, {**names, "parted": parted}):
        known[Table(asked_schema, asked_name)].add(Relation(Table(schema, name), kind, server))
    others = known.pop(Table("", ""), set())
    spelled = _Tables(one.table for one in others if one.kind == "spelled")
    return Relations(known, any(one.kind == "parted" for one in others), spelled)


def _may_be(table: Table, other: Table) -> bool:
    return other.name == table.name and table.schema in ("", other.schema)


def _rows(connection: Any, parameters: Mapping[str, Any]) -> list[Any]:
    cursor = getattr(connection, "connection", connection).cursor()
    try:
        cursor.execute(query_text("postgresql_table_relations"), parameters)
        return list(cursor.fetchall())
    finally:
        cursor.close()
