"""What rules were told of tables when they changed a text, and whether it holds still when the text is sent.

A table that is read is locked against DDL until the transaction ends (ACCESS SHARE, as every SELECT does). What the
catalogue then says holds for the statement that follows. So nothing that was remembered is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from superset_ext.errors import PlanError, Redefined
from superset_ext.plans.compared.limits import limiting
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from superset_ext.plans.rewrite.facts import Relation

Name = tuple[str | None, str]  # of a relation, as a statement writes it: its schema, if it names one, and its name
Relations = Mapping[Name, Relation | None]


class NotKnown(Exception):
    """Nothing is known of a relation yet."""


class Noted:
    """A source's catalogue that notes what it was asked.

    Args:
        relation: says what a relation is.

    Attributes:
        relations: what it has said.
    """

    engine = "postgres"

    def __init__(self, relation: Callable[[str | None, str], Relation | None]) -> None:
        self._relation = relation
        self.relations: dict[Name, Relation | None] = {}

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """See `Facts`."""
        if (schema, name) not in self.relations:
            self.relations[schema, name] = self._relation(schema, name)
        return self.relations[schema, name]


def remembered(relations: Relations) -> Callable[[str | None, str], Relation | None]:
    """Says what is known of relations, and raises `NotKnown` of others."""

    def relation(schema: str | None, name: str) -> Relation | None:
        if (schema, name) not in relations:
            raise NotKnown(name)
        return relations[schema, name]

    return relation


def hold(cursor: Any, relations: Relations, ms: int) -> None:
    """Lock relations for the transaction of a cursor, and limit what follows in it to so many milliseconds.

    Raises:
        Redefined: they are not any more what they were.
        PlanError: the driver, or the mode that it is in, has no such transaction.
    """
    connection: Any = getattr(cursor, "connection", None)
    if getattr(connection, "autocommit", True) or not hasattr(connection, "server_version"):
        raise PlanError("there is no transaction that would hold its tables as they are", "NoTransaction")
    with connection.cursor() as own:
        own.execute(limiting(ms) + "".join(_locking(name) for name, now in relations.items() if now))
        facts = PostgreSQL(lambda text, values: _all(own, text, values))
        if any(_proof(facts.relation(*name)) != _proof(before) for name, before in relations.items()):
            raise Redefined("a table in it has been defined anew")


def _locking(name: Name) -> str:
    """Reads nothing of a relation; needs no other right than to read some column of it."""
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in name if part)
    return f"SELECT 1 FROM {quoted} WHERE false;"  # noqa: S608  (a name, quoted)


def _all(cursor: Any, text: str, values: Any) -> list[Any]:
    cursor.execute(text, values)
    return list(cursor.fetchall())


def _proof(relation: Relation | None) -> Any:
    """Of a relation what rules rely on; sizes and statistics only say what a rule should bring."""
    if relation is None:
        return None
    columns = {name: (column.kind, column.nullable, column.identical) for name, column in relation.columns.items()}
    return columns, relation.keys
