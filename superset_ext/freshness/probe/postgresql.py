"""What PostgreSQL says of the changes of a table, without reading it.

For every table that the data comes from (partitions and children of a table, the tables behind a view and the views
between, a materialized view itself), the answer is made of

- its oid, file node and columns: DROP and CREATE, renames, TRUNCATE, whatever rewrites it, REFRESH;
- tuples inserted, updated and deleted since its statistics began: every other change, COPY, MERGE, and REFRESH
  CONCURRENTLY;
- its definition, where it is a view, and whether it is being detached, where it is a partition;
- when the statistics of the database and those of the server were last reset. A crash and `pg_stat_reset` start the
  counts at zero again, from where they could climb to what they were.

Left out is what changes while the data does not: live and dead tuples, the time of the last vacuum, the size. A
rewrite that changes nothing (VACUUM FULL, CLUSTER) and a rolled back change are taken for changes.

What is seen late: a session hands in its counts after its transaction, at most once a second. What it did in the
second after is handed in with its next transaction, or when it has been idle for ten seconds (before PostgreSQL 15:
when it ends). A procedure that commits while it runs hands in when it returns. The next probe sees what this one could
not.

What is not seen, and so refused (`problem`): a replica, which counts no replayed change; foreign tables; tables of
another access method than heap; Citus and relatives, whose rows are elsewhere; functions in a view that may read
anything; a server that does not count. What is not seen, and cannot be refused: a superuser's session that has
switched `track_counts` off, loaders that write files past PostgreSQL, extensions that keep rows in tables of their own
(Timescale's compressed chunks), system catalogs, and rights or row-level policies of the source.
"""

from __future__ import annotations

from typing import Any

ENGINE = "postgresql"
# Takes a JSON list of quoted names, as to_regclass reads them, each a list of the spellings that it may have.
# One row: the answer, and why it is none.
STATISTICS = """
WITH RECURSIVE named AS (
    SELECT spellings.value AS spelled, to_regclass(spelling.value) AS oid
    FROM json_array_elements(CAST(%s AS json)) AS spellings,
        LATERAL json_array_elements_text(spellings.value) AS spelling
), behind (oid) AS (
    SELECT CAST(oid AS oid) FROM named WHERE oid IS NOT NULL
    UNION
    SELECT below.oid FROM behind, LATERAL (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = behind.oid
        UNION ALL
        SELECT d.refobjid FROM pg_class v
            JOIN pg_rewrite r ON r.ev_class = v.oid
            JOIN pg_depend d ON d.classid = CAST('pg_rewrite' AS regclass) AND d.objid = r.oid
                AND d.refclassid = CAST('pg_class' AS regclass) AND d.refobjid <> v.oid
        WHERE v.oid = behind.oid AND v.relkind = 'v'
    ) AS below (oid)
), relation AS (
    SELECT c.oid, CAST(CAST(c.oid AS regclass) AS text) AS name, c.relkind, m.amname
    FROM behind JOIN pg_class c USING (oid) LEFT JOIN pg_am m ON m.oid = c.relam
), called AS (
    SELECT v.name, p.proname FROM relation v
        JOIN pg_rewrite r ON r.ev_class = v.oid
        JOIN pg_depend d ON d.classid = CAST('pg_rewrite' AS regclass) AND d.objid = r.oid
            AND d.refclassid = CAST('pg_proc' AS regclass)
        JOIN pg_proc p ON p.oid = d.refobjid
    WHERE v.relkind = 'v' AND (p.provolatile <> 'i' OR p.proretset)
), problem (rank, reason) AS (
    SELECT 1, CASE
        WHEN version() !~ '^PostgreSQL [0-9]' OR version() ~* 'greenplum|redshift|-yb-'
            OR EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
            THEN 'this server keeps rows where PostgreSQL counts no changes'
        WHEN pg_is_in_recovery() THEN 'a replica counts no changes'
        WHEN current_setting('track_counts') <> 'on' THEN 'track_counts is off, and so no change is counted'
    END
    UNION ALL
    SELECT 2, 'there is no table ' || (spelled ->> 0) FROM named GROUP BY spelled ->> 0 HAVING count(oid) = 0
    UNION ALL
    SELECT 3, name || ' is ' || CASE relkind WHEN 'f' THEN 'a foreign table' ELSE 'not a table' END
        || ', of which PostgreSQL counts no changes'
    FROM relation WHERE relkind NOT IN ('r', 'p', 'm', 'v')
    UNION ALL
    SELECT 4, name || ' is kept by ' || amname || ', which counts no changes'
    FROM relation WHERE relkind IN ('r', 'm') AND amname <> 'heap'
    UNION ALL
    SELECT 5, 'the view ' || name || ' calls ' || proname || '(), which may read anything' FROM called
    UNION ALL
    SELECT 6, 'no table is behind it' WHERE NOT EXISTS (SELECT FROM relation WHERE relkind IN ('r', 'p', 'm'))
), counted AS (
    SELECT concat_ws(',', oid, pg_relation_filenode(oid), pg_stat_get_tuples_inserted(oid),
        pg_stat_get_tuples_updated(oid), pg_stat_get_tuples_deleted(oid),
        (SELECT md5(string_agg(concat_ws(',', attnum, attname, atttypid, atttypmod), ';' ORDER BY attnum))
            FROM pg_attribute a WHERE a.attrelid = relation.oid AND attnum > 0 AND NOT attisdropped),
        (SELECT md5(string_agg(CAST(ev_action AS text), ';' ORDER BY r.oid))
            FROM pg_rewrite r WHERE r.ev_class = relation.oid AND relkind IN ('v', 'm')),
        (SELECT string_agg(concat_ws(',', inhparent, to_jsonb(i) ->> 'inhdetachpending'), ';' ORDER BY inhparent)
            FROM pg_inherits i WHERE i.inhrelid = relation.oid)) AS said
    FROM relation
)
SELECT md5(string_agg(said, E'\\n' ORDER BY said)
        || coalesce((SELECT CAST(stats_reset AS text) FROM pg_stat_database WHERE datname = current_database()), '')
        || coalesce((SELECT CAST(stats_reset AS text) FROM pg_stat_bgwriter), '')),
    (SELECT reason FROM problem WHERE reason IS NOT NULL ORDER BY rank, reason LIMIT 1)
FROM counted
"""


def limit(connection: Any, cursor: Any, seconds: float) -> None:
    """Let a connection of psycopg2, or one like it, read only, and each statement last no longer.

    Both end with the transaction, since the connection may be a pooler's.
    """
    if getattr(connection, "autocommit", False):
        connection.autocommit = False
    cursor.execute("SET TRANSACTION READ ONLY")
    cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")


def spellings(schema: str, name: str) -> list[str]:
    """A table's name as it is written, and as PostgreSQL folds it where it is not quoted."""
    written = [part for part in (schema, name) if part]
    return list(dict.fromkeys(".".join(map(_quoted, parts)) for parts in (written, [p.lower() for p in written])))


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'
