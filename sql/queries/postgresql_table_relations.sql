-- Runs in a PostgreSQL source: what each of some tables depends on, however far. A row's kind is one of
--   self      the table itself; a table that is not there has no row
--   view      what its definition reads, that of a view in it, or a row-level policy
--   parent    what it is a partition or a child of
--   function  a function that it calls, if it is a view, and that may read anything
--   foreign   a foreign table that is read with it, as its server knows it: `server` names that, and the name is '' where
--             it has none there, since a query stands behind it
-- and, in rows of no table,
--   parted    if that is asked: some tables are made of others, so one that is gone may have been a part
--   spelled   if a table was not found: relations whose lower case may be another one there than here
-- Parameters: schemas and names, arrays of the same length, in lower case (the schema '' stands for the search path), and
-- parted. Names have the collation C, which folds ASCII alone. OFFSET 0 makes PostgreSQL look rows up one by one: it
-- expects thousands of them, where there are a few.
WITH RECURSIVE asked AS (
    SELECT asked.schema, asked.name
    FROM unnest(CAST(%(schemas)s AS text[]), CAST(%(names)s AS text[])) AS asked (schema, name)
), depends (schema, name, oid, kind) AS (
    SELECT asked.schema, asked.name, c.oid, 'self'
    FROM asked
    JOIN pg_class c ON lower(c.relname COLLATE "default") = asked.name AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE CASE asked.schema
        WHEN '' THEN pg_table_is_visible(c.oid)
        ELSE lower(n.nspname COLLATE "default") = asked.schema
    END
    UNION
    SELECT d.schema, d.name, next.oid, CASE WHEN 'view' IN (d.kind, next.kind) THEN 'view' ELSE 'parent' END
    FROM depends d
    CROSS JOIN LATERAL (
        SELECT i.inhparent, 'parent' FROM pg_inherits i WHERE i.inhrelid = d.oid
        UNION ALL
        SELECT p.refobjid, 'view'
        FROM (
            SELECT r.tableoid, r.oid FROM pg_rewrite r WHERE r.ev_class = d.oid AND r.ev_type = '1'
            UNION ALL
            SELECT policy.tableoid, policy.oid FROM pg_policy policy WHERE policy.polrelid = d.oid
        ) AS definition (classid, oid)
        JOIN pg_depend p ON p.classid = definition.classid AND p.objid = definition.oid
            AND p.refclassid = CAST('pg_class' AS regclass) AND p.refobjid <> d.oid
    ) AS next (oid, kind)
), read_with (schema, name, oid) AS (
    SELECT d.schema, d.name, d.oid FROM depends d WHERE d.kind <> 'parent' AND EXISTS (SELECT FROM pg_foreign_table)
    UNION
    SELECT r.schema, r.name, i.inhrelid FROM read_with r JOIN pg_inherits i ON i.inhparent = r.oid
)
SELECT d.schema AS asked_schema, d.name AS asked_name, found.nspname AS schema, found.relname AS name, d.kind, '' AS server
FROM depends d
CROSS JOIN LATERAL (
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = d.oid
    OFFSET 0
) AS found
UNION ALL
SELECT r.schema, r.name, coalesce(there.schema, CASE WHEN w.fdwname = 'postgres_fdw' THEN n.nspname ELSE '' END),
    CASE WHEN there.query IS NOT NULL OR there.name LIKE '%%(%%' THEN '' ELSE coalesce(there.name, c.relname) END,
    'foreign', s.srvname
FROM read_with r
JOIN pg_foreign_table f ON f.ftrelid = r.oid
JOIN pg_foreign_server s ON s.oid = f.ftserver
JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
JOIN pg_class c ON c.oid = r.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT
        min(o.option_value) FILTER (WHERE o.option_name IN ('schema_name', 'schema', 'dbname', 'database')) AS schema,
        min(o.option_value) FILTER (WHERE o.option_name IN ('table_name', 'table')) AS name,
        min(o.option_value) FILTER (WHERE o.option_name = 'query') AS query
    FROM pg_options_to_table(f.ftoptions) AS o
) AS there
UNION ALL
SELECT d.schema, d.name, '', called.proname, 'function', ''
FROM depends d
CROSS JOIN LATERAL (
    SELECT f.proname
    FROM pg_rewrite r
    JOIN pg_depend p ON p.classid = r.tableoid AND p.objid = r.oid AND p.refclassid = CAST('pg_proc' AS regclass)
    JOIN pg_proc f ON f.oid = p.refobjid AND f.provolatile <> 'i'
    WHERE r.ev_class = d.oid AND r.ev_type = '1'
    OFFSET 0
) AS called
UNION ALL
SELECT '', '', '', '', 'parted', ''
WHERE CAST(%(parted)s AS boolean)
    AND EXISTS (SELECT FROM pg_class c WHERE c.relkind = 'p' OR (c.relkind IN ('r', 'f') AND c.relhassubclass))
UNION ALL
SELECT '', '', n.nspname, c.relname, 'spelled', ''
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE EXISTS (SELECT FROM asked WHERE (asked.schema, asked.name) NOT IN (SELECT d.schema, d.name FROM depends d))
    AND octet_length(CAST(c.relname AS text)) <> length(CAST(c.relname AS text))
