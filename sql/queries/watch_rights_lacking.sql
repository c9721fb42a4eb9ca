-- What the current role lacks to watch tables of a database, or to make its first watches: GRANT statements, '' if it
-- lacks nothing, or may not add watches at all, which another error says. Asked on the source. Who may write a table
-- through another one needs the right on that one too.
WITH RECURSIVE named (id) AS (
    SELECT c.oid
    FROM unnest(%(tables)s::text[]) AS written (name)
    CROSS JOIN LATERAL parse_ident(written.name) AS part
    JOIN pg_class c ON c.relname = part[cardinality(part)] AND c.relkind IN ('r', 'p')
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE CASE WHEN cardinality(part) > 1 THEN n.nspname = part[cardinality(part) - 1]
        ELSE n.nspname = ANY(current_schemas(false)) END
), below (id) AS (
    SELECT id FROM named
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.id
), member (id) AS (
    SELECT id FROM below
    UNION
    SELECT i.inhparent FROM pg_inherits i JOIN member ON i.inhrelid = member.id
), lacking (statement) AS (
    SELECT 'GRANT CREATE ON DATABASE ' || quote_ident(current_database())
    WHERE %(is_first)s AND NOT has_database_privilege(current_database(), 'CREATE')
    UNION ALL
    SELECT 'GRANT USAGE ON SCHEMA ' || string_agg(DISTINCT quote_ident(n.nspname), ', ')
    FROM member JOIN pg_class c ON c.oid = id JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT has_schema_privilege(n.oid, 'USAGE')
    UNION ALL
    SELECT 'GRANT TRIGGER ON ' || string_agg(quote_ident(n.nspname) || '.' || quote_ident(c.relname), ', ' ORDER BY id)
    FROM member JOIN pg_class c ON c.oid = id JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT has_table_privilege(id, 'TRIGGER')
)
SELECT coalesce(string_agg(statement || ' TO ' || quote_ident(current_user), '; '), '')
FROM lacking
WHERE statement IS NOT NULL
    AND (%(is_first)s OR has_table_privilege(to_regclass('superset_ext_watch.watched'), 'INSERT'));
