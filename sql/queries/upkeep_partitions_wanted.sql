-- Tables that are not divided, with a column of dates or times in whose order their rows lie, if there is one.
-- Asked of a source database: PostgreSQL 14 or later. Columns that the role may not read are not in pg_stats.
SELECT
    format('%I.%I', n.nspname, c.relname) AS relation, quote_ident(s.attname) AS column_name,
    c.relpages * current_setting('block_size')::float8 AS bytes, c.reltuples::float8 AS rows,
    abs(s.correlation)::float8 AS order_on_disk, coalesce(t.n_tup_upd, 0)::float8 AS updated,
    coalesce(t.n_tup_ins, 0)::float8 AS inserted
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
LEFT JOIN pg_stat_all_tables AS t ON t.relid = c.oid
WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relpersistence <> 't' AND s.correlation IS NOT NULL
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY n.nspname, c.relname, order_on_disk DESC, s.attname
