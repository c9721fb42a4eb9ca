"""What PostgreSQL counts of the changes of a table, without reading the table.

The data of a table may come from several relations: from its partitions and children, from the tables and views behind
a view, from a materialized view itself. For each of them, the answer contains

- its oid, file node and columns, which change with DROP and CREATE, renames, TRUNCATE, REFRESH, and any rewrite;
- the tuples inserted, updated and deleted since its statistics began, which change with everything else: COPY, MERGE
  and REFRESH CONCURRENTLY too;
- its definition, if it is a view; whether it is being detached, if it is a partition.

It also contains when the statistics of the database and of the server were last reset. A crash and `pg_stat_reset`
start the counts at zero, from where they could climb to what they were.

The answer leaves out what changes while the data does not: live and dead tuples, the time of the last vacuum, the size.
A rewrite that changes nothing (VACUUM FULL, CLUSTER) and a change that was rolled back count as changes.

*Seen late.* A session hands in its counts after its transaction, at most once a second. What it did in the second after
that is handed in with its next transaction, or when it has been idle for ten seconds (before PostgreSQL 15: when it
ends). A procedure that commits while it runs hands in when it returns. A later probe sees those.

*Not seen, and refused* (`problem` in the statement): a replica, which counts no replayed change; foreign tables;
tables of another access method than heap; Citus and its relatives, whose rows are elsewhere; functions in a view that
may read anything; a server that does not count.

*Not seen, and impossible to refuse*: a superuser's session that has switched `track_counts` off; loaders that write
files past PostgreSQL; extensions that keep rows in tables of their own (Timescale's compressed chunks); system
catalogs; rights and row-level policies of the source.
"""

from __future__ import annotations

from typing import Any

from superset_ext.core.sql_folder import query_text


def statistics() -> str:
    """A statement that returns one row: the answer, and the reason why it is none or NULL.

    Its parameter is a JSON list of tables, each a list of the spellings that its name may have.
    """
    return query_text("postgresql_changes_counted")


def limit(connection: Any, cursor: Any, seconds: float) -> None:
    """Let a connection of psycopg2, or one like it, only read, and each statement last no longer.

    Both end with the transaction, because the connection may be a pooler's.
    """
    if getattr(connection, "autocommit", False):
        connection.autocommit = False
    cursor.execute("SET TRANSACTION READ ONLY")
    cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")


def spellings(schema: str, name: str) -> list[str]:
    """A table's name in quotes, as it is written, and as PostgreSQL folds it if it is not quoted."""
    written = [part for part in (schema, name) if part]
    folded = [part.lower() for part in written]
    return list(dict.fromkeys(".".join(map(_quoted, parts)) for parts in (written, folded)))


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'
