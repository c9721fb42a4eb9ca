-- The relations of these bare names, and those that they are made of: partitions, children, and what views read.
-- Asked of a source database: PostgreSQL 14 or later, by a role that may read the catalog.
WITH RECURSIVE reached AS (
    SELECT c.oid, c.relkind
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'p', 'm', 'v', 'f')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%%'
    UNION
    SELECT c.oid, c.relkind
    FROM reached AS r
    CROSS JOIN LATERAL (
        SELECT h.inhrelid AS oid FROM pg_inherits AS h WHERE h.inhparent = r.oid
        UNION ALL
        SELECT d.refobjid
        FROM pg_rewrite AS w
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        WHERE r.relkind = 'v' AND w.ev_class = r.oid AND d.refclassid = 'pg_class'::regclass
    ) AS further
    JOIN pg_class AS c ON c.oid = further.oid AND c.relkind IN ('r', 'p', 'm', 'v', 'f')
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
)
SELECT
    c.oid::bigint AS oid,
    n.nspname AS schema_name,
    c.relname AS table_name,
    c.relkind::text AS kind,
    CASE WHEN c.relkind IN ('r', 'm') THEN coalesce(pg_relation_size(c.oid), 0) ELSE 0 END AS bytes,
    c.relpages AS pages,
    c.reltuples::float8 AS row_count,
    c.relallvisible AS all_visible,
    c.relrowsecurity AS row_security,
    (SELECT count(*) FROM pg_statistic_ext AS e WHERE e.stxrelid = c.oid) AS extended_statistics,
    ARRAY(
        SELECT format('%%I.%%I', pn.nspname, p.relname)
        FROM pg_inherits AS h
        JOIN reached AS r ON r.oid = h.inhparent
        JOIN pg_class AS p ON p.oid = h.inhparent
        JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
        WHERE h.inhrelid = c.oid ORDER BY h.inhseqno
    ) AS parents,
    CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partition_key,
    CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END AS partition_bound,
    CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS view_query,
    (SELECT split_part(o, '=', 2)::int FROM unnest(c.reloptions) AS o WHERE o LIKE 'parallel_workers=%%') AS workers,
    ARRAY(
        SELECT json_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod),
            'not_null', a.attnotnull,
            'collation', CASE WHEN a.attcollation <> y.typcollation THEN o.collname END
        )
        FROM pg_attribute AS a
        JOIN pg_type AS y ON y.oid = a.atttypid
        LEFT JOIN pg_collation AS o ON o.oid = a.attcollation
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
    ) AS columns
FROM (SELECT DISTINCT oid FROM reached) AS r
JOIN pg_class AS c ON c.oid = r.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY c.oid
