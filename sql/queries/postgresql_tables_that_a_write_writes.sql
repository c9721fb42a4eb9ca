-- Runs in a PostgreSQL source: what a write to some tables writes beside them, as far as the catalog knows. A row's kind is
--   table     a table or view that is written, or may be: the asked ones, what an updatable view or a rule leads to, what
--             a foreign key changes in turn, and what a written partition is a part of
--   trigger   a trigger's function and its text, which may write anything
--   function  a function that the statement or a default calls, and that may write anything
--   missing   a table that is not there; by now nobody knows what a write to it did
-- Parameters: schemas and names, arrays of the same length, in lower case (the schema '' stands for the search path, '*'
-- for any), and functions, an array of names that the statement may have called, in lower case.
WITH RECURSIVE asked AS (
    SELECT asked.schema, asked.name
    FROM unnest(CAST(%(schemas)s AS text[]), CAST(%(names)s AS text[])) AS asked (schema, name)
), found AS (
    SELECT asked.schema, asked.name, c.oid
    FROM asked
    JOIN pg_class c ON lower(c.relname COLLATE "default") = asked.name AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE CASE asked.schema
        WHEN '*' THEN true
        WHEN '' THEN pg_table_is_visible(c.oid)
        ELSE lower(n.nspname COLLATE "default") = asked.schema
    END
-- A part is written with its whole, whose entries it shares; a whole is written with its part, but not its other parts.
), written (oid, kind) AS (
    SELECT oid, 'table' FROM found
    UNION
    SELECT next.oid, next.kind
    FROM written w
    CROSS JOIN LATERAL (
        SELECT i.inhparent, 'whole' FROM pg_inherits i WHERE i.inhrelid = w.oid AND w.kind IN ('table', 'whole')
        UNION ALL
        SELECT i.inhrelid, 'part' FROM pg_inherits i WHERE i.inhparent = w.oid AND w.kind IN ('table', 'part')
        UNION ALL
        SELECT k.conrelid, 'table'
        FROM pg_constraint k
        WHERE k.confrelid = w.oid AND k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
        UNION ALL
        SELECT p.refobjid, 'table'
        FROM pg_rewrite r
        JOIN pg_class c ON c.oid = r.ev_class
        JOIN pg_depend p ON p.classid = r.tableoid AND p.objid = r.oid
            AND p.refclassid = CAST('pg_class' AS regclass) AND p.refobjid <> w.oid
        JOIN pg_class target ON target.oid = p.refobjid AND target.relkind IN ('r', 'v', 'f', 'p')
        WHERE r.ev_class = w.oid AND r.ev_enabled <> 'D' AND w.kind = 'table'
            AND (r.ev_type <> '1' OR (c.relkind = 'v' AND pg_relation_is_updatable(c.oid, false) <> 0))
    ) AS next (oid, kind)
), called AS (
    SELECT t.tgfoid AS oid, 'trigger' AS kind
    FROM written w
    JOIN pg_trigger t ON t.tgrelid = w.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
    WHERE w.kind <> 'whole'
    UNION
    SELECT p.refobjid, 'function'
    FROM written w
    JOIN pg_attrdef d ON d.adrelid = w.oid
    JOIN pg_depend p ON p.classid = d.tableoid AND p.objid = d.oid AND p.refclassid = CAST('pg_proc' AS regclass)
    WHERE w.kind <> 'whole'
    UNION
    SELECT p.refobjid, 'function'
    FROM written w
    JOIN pg_rewrite r ON r.ev_class = w.oid AND r.ev_type <> '1'
    JOIN pg_depend p ON p.classid = r.tableoid AND p.objid = r.oid AND p.refclassid = CAST('pg_proc' AS regclass)
    WHERE w.kind <> 'whole'
    UNION
    SELECT f.oid, 'function' FROM pg_proc f WHERE lower(f.proname COLLATE "default") = ANY (CAST(%(functions)s AS text[]))
)
SELECT n.nspname AS schema, c.relname AS name, 'table' AS kind, '' AS text
FROM (SELECT DISTINCT oid FROM written WHERE kind <> 'part') AS w
JOIN pg_class c ON c.oid = w.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT n.nspname, f.proname, called.kind, CASE WHEN l.lanname = 'plpgsql' THEN f.prosrc END
FROM called
JOIN pg_proc f ON f.oid = called.oid AND f.provolatile = 'v' AND f.prokind IN ('f', 'p')
JOIN pg_namespace n ON n.oid = f.pronamespace AND n.nspname NOT IN ('pg_catalog', 'superset_ext_watch')
JOIN pg_language l ON l.oid = f.prolang
WHERE NOT EXISTS (
    SELECT FROM pg_depend p
    JOIN pg_extension e ON e.oid = p.refobjid
        AND e.extname IN ('uuid-ossp', 'pgcrypto', 'citext', 'fuzzystrmatch', 'postgis', 'tsm_system_rows', 'lo', 'moddatetime',
                          'insert_username', 'autoinc')
    WHERE p.classid = f.tableoid AND p.objid = f.oid AND p.deptype = 'e'
)
UNION ALL
SELECT asked.schema, asked.name, 'missing', '' FROM asked WHERE (asked.schema, asked.name) NOT IN (SELECT schema, name FROM found)
