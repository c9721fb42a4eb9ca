-- What tables take on disk, and what their rows would take, by the statistics of their columns: an estimate.
-- Asked of a source database: PostgreSQL 14 or later. Columns that the role may not read are not in pg_stats.
WITH locked AS MATERIALIZED (
    SELECT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL
), tables AS (
    SELECT
        c.oid, n.nspname, c.relname, greatest(c.reltuples, 0)::float8 AS rows, c.relpages,
        current_setting('block_size')::float8 AS page,
        coalesce((SELECT option_value FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor')::float8,
            100) / 100 AS fill,
        (SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
            AS columns
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.reltuples >= 0 AND c.relpages > 0
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
        AND c.oid NOT IN (SELECT relation FROM locked)
), widths AS (
    SELECT t.oid, count(s.attname) AS known, coalesce(sum((1 - s.null_frac) * s.avg_width), 0)::float8 AS width
    FROM tables AS t
    LEFT JOIN pg_stats AS s ON s.schemaname = t.nspname AND s.tablename = t.relname AND NOT s.inherited
    GROUP BY t.oid
)
SELECT
    format('%I.%I', t.nspname, t.relname) AS relation, t.rows, t.columns, w.known,
    t.relpages * t.page AS bytes,
    -- A row has a header of 24 bytes with its bitmap, is rounded up to 8, and has a pointer of 4.
    ceil(t.rows * (ceil((24 + w.width) / 8) * 8 + 4) / ((t.page - 24) * t.fill)) * t.page AS needed
FROM tables AS t JOIN widths AS w USING (oid)
ORDER BY t.nspname, t.relname
