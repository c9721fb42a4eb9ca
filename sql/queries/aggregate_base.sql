-- What decides whether an aggregate of a table may be made, and whether its changes can be noted. Asked on the source.
WITH RECURSIVE base (id) AS (
    SELECT to_regclass(%(table)s)::oid
), below (id) AS (
    SELECT id FROM base WHERE id IS NOT NULL
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.id
), member (id) AS (
    SELECT id FROM below
    UNION
    SELECT i.inhparent FROM pg_inherits i JOIN member ON i.inhrelid = member.id
), known AS (
    SELECT
        m.id, c.relkind, c.relpersistence, c.relrowsecurity, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
        EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = m.id) AS is_replicated,
        has_table_privilege(m.id, 'TRIGGER') AS may_trigger
    FROM member m JOIN pg_class c ON c.oid = m.id JOIN pg_namespace n ON n.oid = c.relnamespace
)
SELECT
    n.nspname AS schema_name,
    c.relname AS table_name,
    c.relkind::text AS kind,
    current_user::text AS role,
    pg_is_in_recovery() AS is_replica,
    has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS may_read,
    (SELECT min(k.name) FROM known k WHERE k.relrowsecurity) AS row_security,
    (SELECT min(k.name) FROM known k WHERE k.relkind NOT IN ('r', 'p')) AS not_a_table,
    (SELECT min(k.name) FROM known k WHERE k.relpersistence <> 'p') AS not_lasting,
    (SELECT min(k.name) FROM known k WHERE k.is_replicated) AS replicated,
    (SELECT string_agg(k.name, ', ' ORDER BY k.id) FROM known k WHERE NOT k.may_trigger) AS no_trigger
FROM base
JOIN pg_class c ON c.oid = base.id
JOIN pg_namespace n ON n.oid = c.relnamespace
