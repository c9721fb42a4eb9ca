"""Whether an aggregate may be made of a table, by this role, and whether its changes can be noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from superset_ext.aggregates.tables.catalogue import is_installed
from superset_ext.aggregates.tables.definition import SCHEMA, Definition, named_base
from superset_ext.aggregates.tables.transaction import SourceRefused
from superset_ext.aggregates.view import quoted
from superset_ext.core.log_database import next_row
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import AggregateError

_MAY_CREATE = """
SELECT current_user::text, current_database()::text, pg_is_in_recovery(),
    CASE WHEN to_regnamespace('superset_ext_aggregates') IS NULL
        THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege('superset_ext_aggregates', 'CREATE') END,
    to_regnamespace('superset_ext_aggregates') IS NOT NULL,
    pg_has_role((SELECT nspowner FROM pg_namespace WHERE nspname = 'superset_ext_aggregates'), 'USAGE')
"""
_VIRTUAL = """
SELECT min(attname::text) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attgenerated = 'v' AND attname = ANY (%s)
"""


class Unnoted(AggregateError):
    """Changes of a base cannot be noted."""


@dataclass(frozen=True)
class Base:
    """What was found of the table that an aggregate is to be made of.

    Attributes:
        untold: why its changes cannot be noted; empty where they can.
    """

    schema: str
    table: str
    untold: str = ""


def refuse_role(cursor: Any) -> None:
    """Check that the role may build aggregates on this source.

    Raises:
        AggregateError: it may not, or the source is a replica.
    """
    cursor.execute(_MAY_CREATE)
    role, database, is_replica, may, is_there, owns = cursor.fetchone()
    if is_replica:
        raise AggregateError("the source is a replica, which takes no tables; connect Superset to its primary")
    if not may:
        what = f"SCHEMA {SCHEMA}" if is_there else f'DATABASE "{database}"'
        raise AggregateError(
            f'the role {role} may create nothing; let an owner run: GRANT CREATE ON {what} TO "{role}"'
        )
    if is_there and not owns and not is_installed(cursor):
        raise AggregateError(
            f"the schema {SCHEMA} is another role's, and of another version; let its owner run the build"
        )


def base_of(cursor: Any, table: str) -> Base:
    """The table that an aggregate is made of, as SQL writes it.

    Raises:
        AggregateError: there is none, the role may not read it, or PostgreSQL hides rows of it from some roles.
    """
    cursor.execute(query_text("aggregate_base"), {"table": table})
    row = next_row(cursor)
    if row is None:
        raise SourceRefused(f"there is no table {table} that this role can see", "42P01")
    if not row["may_read"]:
        raise AggregateError(f'the role {row["role"]} may not read {table}; let its owner run: GRANT SELECT ON {table} '
                             f'TO "{row["role"]}"')  # fmt: skip
    if row["row_security"]:
        raise AggregateError(f"{row['row_security']} has row security: which rows there are depends on who asks")
    return Base(row["schema_name"], row["table_name"], _untold(row))


def _untold(row: dict[str, Any]) -> str:
    if row["kind"] not in ("r", "p"):
        return f"{row['table_name']} is no table"
    if row["not_a_table"]:
        return f"{row['not_a_table']} is a foreign table, and what is written on its own server fires no trigger here"
    if row["not_lasting"]:
        return f"{row['not_lasting']} is not logged, so that a crash empties it without a trigger"
    if row["replicated"]:
        return f"{row['replicated']} is filled by logical replication, which fires no triggers of statements"
    if row["no_trigger"]:
        return (f'the role {row["role"]} may make no triggers; let an owner run: GRANT TRIGGER ON {row["no_trigger"]} '
                f'TO "{row["role"]}"')  # fmt: skip
    return ""


def unnoted(cursor: Any, base: Base, columns: Sequence[str]) -> str:
    """Why changes of these columns of a base cannot be noted; empty where they can."""
    cursor.execute(_VIRTUAL, (f"{quoted(base.schema)}.{quoted(base.table)}", list(columns)))
    (column,) = cursor.fetchone()
    if base.untold or column is None:
        return base.untold
    return f"{column} is a virtual generated column, which triggers see as NULL; make it STORED"


def settled(cursor: Any, definition: Definition) -> Definition:
    """A definition with its base as the source has it.

    Raises:
        AggregateError: it may not be built, or not be kept up as it says.
    """
    refuse_role(cursor)
    table = named_base(definition.view)
    base = None if table is None else base_of(cursor, table)
    why = "it is made of a query, whose tables are not watched for it"
    if base is not None:
        why = unnoted(cursor, base, definition.base_columns)
    if definition.upkeep == "notes" and why:
        raise Unnoted(f"changes cannot be noted, so keep it up by schedule, or else: {why}")
    if definition.upkeep == "tail" and definition.tail not in definition.view.names.values():
        raise AggregateError(f"{definition.tail}: no key of time of the aggregate, by which its end is known")
    return replace(definition, base=None if base is None else (base.schema, base.table))
