-- What a source's catalog says of the columns of all tables that have one of these bare names.
-- Asked of a source database: PostgreSQL 14 or later. Partitioned tables are left out: their indexes are made otherwise.
SELECT
    c.oid::bigint AS oid,
    n.nspname AS schema_name,
    c.relname AS table_name,
    greatest(c.reltuples, 0)::float8 AS row_count,
    c.relpages AS pages,
    pg_table_is_visible(c.oid) AS visible,
    coalesce(t.n_tup_ins + t.n_tup_upd - t.n_tup_hot_upd + t.n_tup_del, 0) AS writes,
    -- Counters outlive a restart, but not a crash: without a time of their own they are as old as the server, or older.
    extract(epoch FROM now() - coalesce(d.stats_reset, pg_postmaster_start_time()))::float8 / 86400 AS days,
    a.attname AS column_name,
    format_type(a.atttypid, NULL) AS type_name,
    coalesce(s.avg_width, nullif(greatest(y.typlen, 0), 0), 32)::float8 AS width,
    y.typlen::int AS length,
    CASE y.typalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END AS align,
    s.n_distinct::float8 AS n_distinct,
    coalesce(s.null_frac, 0)::float8 AS nulls,
    coalesce(s.correlation, 0)::float8 AS correlation,
    EXISTS (
        SELECT FROM pg_opclass AS o
        JOIN pg_am AS m ON m.oid = o.opcmethod AND m.amname = 'btree'
        JOIN pg_amproc AS p ON p.amprocfamily = o.opcfamily AND p.amproclefttype = o.opcintype AND p.amprocnum = 4
        WHERE o.opcdefault
          AND o.opcintype = CASE y.oid WHEN 'varchar'::regtype THEN 'text'::regtype ELSE y.oid END
    ) AS dedups
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS y ON y.oid = a.atttypid
LEFT JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname AND NOT s.inherited
LEFT JOIN pg_stat_user_tables AS t ON t.relid = c.oid
LEFT JOIN pg_stat_database AS d ON d.datname = current_database()
WHERE c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY c.oid, a.attnum
