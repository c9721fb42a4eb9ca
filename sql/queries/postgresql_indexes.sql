-- The indexes of all tables, and whether anything but queries needs them.
-- Asked of a source database: PostgreSQL 14 or later.
SELECT
    i.relname AS index_name,
    n.nspname AS schema_name,
    c.relname AS table_name,
    m.amname AS method,
    pg_get_indexdef(x.indexrelid) AS definition,
    pg_relation_size(x.indexrelid) AS bytes,
    x.indisvalid AND x.indisready AS valid,
    x.indisunique OR x.indisexclusion OR x.indisreplident OR x.indisclustered
        OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = x.indexrelid)
        OR EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = x.indexrelid) AS constrains,
    -- Plain: columns alone, in their default order, operators and collation, so that two can be compared by name.
    0 <> ALL (x.indkey::smallint[]) AND 0 = ALL (x.indoption::smallint[]) AND (
        SELECT bool_and(o.opcdefault) FROM unnest(x.indclass::oid[]) AS class JOIN pg_opclass AS o ON o.oid = class
    ) AND NOT EXISTS (
        SELECT FROM unnest(x.indkey::smallint[], x.indcollation::oid[]) AS k(attnum, collation_oid)
        JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
        WHERE k.collation_oid <> 0 AND k.collation_oid <> a.attcollation
    ) AS plain,
    ARRAY(
        SELECT a.attname::text FROM unnest(x.indkey::smallint[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
        WHERE k.place <= x.indnkeyatts ORDER BY k.place
    ) AS key_columns,
    ARRAY(
        SELECT a.attname::text FROM unnest(x.indkey::smallint[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
        WHERE k.place > x.indnkeyatts ORDER BY k.place
    ) AS included,
    pg_get_expr(x.indpred, x.indrelid) AS predicate,
    coalesce(s.idx_scan, 0) AS scans,
    -- Counters outlive a restart, but not a crash: without a time of their own they are as old as the server, or older.
    extract(epoch FROM now() - coalesce(d.stats_reset, pg_postmaster_start_time()))::float8 / 86400 AS days,
    EXISTS (SELECT FROM pg_stat_progress_create_index AS g WHERE g.index_relid = x.indexrelid) AS building
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_am AS m ON m.oid = i.relam
JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = x.indexrelid
LEFT JOIN pg_stat_database AS d ON d.datname = current_database()
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY n.nspname, c.relname, i.relname
