-- What B-trees take on disk, and what their entries would take if none were shared: an estimate.
-- Asked of a source database: PostgreSQL 14 or later. Columns that the role may not read are not in pg_stats.
WITH locked AS MATERIALIZED (
    SELECT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL
), indexes AS (
    SELECT
        i.oid, n.nspname, i.relname, c.relname AS table_name, greatest(i.reltuples, 0)::float8 AS entries, i.relpages,
        x.indkey::smallint[] AS keys, x.indrelid, current_setting('block_size')::float8 AS page,
        coalesce((SELECT option_value FROM pg_options_to_table(i.reloptions) WHERE option_name = 'fillfactor')::float8,
            90) / 100 AS fill
    FROM pg_index AS x
    JOIN pg_class AS i ON i.oid = x.indexrelid
    JOIN pg_am AS m ON m.oid = i.relam AND m.amname = 'btree'
    JOIN pg_class AS c ON c.oid = x.indrelid AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
    JOIN pg_namespace AS n ON n.oid = i.relnamespace
    WHERE x.indisvalid AND 0 <> ALL (x.indkey::smallint[]) AND i.reltuples >= 0 AND i.relpages > 0
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
        AND i.oid NOT IN (SELECT relation FROM locked)
), widths AS (
    SELECT
        i.oid, count(*) AS columns, count(s.attname) AS known,
        coalesce(sum((1 - s.null_frac) * s.avg_width), 0)::float8 AS width
    FROM indexes AS i
    CROSS JOIN LATERAL unnest(i.keys) AS key(number)
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = key.number
    LEFT JOIN pg_stats AS s
        ON s.schemaname = i.nspname AND s.tablename = i.table_name AND s.attname = a.attname AND NOT s.inherited
    GROUP BY i.oid
)
SELECT
    format('%I.%I', i.nspname, i.relname) AS relation, format('%I.%I', i.nspname, i.table_name) AS table_name,
    i.entries, w.columns, w.known, i.relpages * i.page AS bytes,
    -- An entry has a header of 8 bytes, is rounded up to 8, and has a pointer of 4; a page has 40 bytes of its own.
    (ceil(i.entries * (ceil((8 + w.width) / 8) * 8 + 4) / ((i.page - 40) * i.fill)) + 1) * i.page AS needed
FROM indexes AS i JOIN widths AS w USING (oid)
ORDER BY i.nspname, i.relname
