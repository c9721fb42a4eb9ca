-- Whether the role may build an index on a table, and why not. Asked of a source database: PostgreSQL 14 or later.
SELECT
    current_user AS role,
    pg_is_in_recovery() AS replica,
    pg_has_role(c.relowner, 'USAGE') AS owns,
    has_schema_privilege(n.oid, 'CREATE') AS creates,
    pg_get_userbyid(c.relowner) AS owner,
    c.relkind IN ('r', 'm') AS plain,
    EXISTS (SELECT FROM pg_class AS i WHERE i.relnamespace = n.oid AND i.relname = %(name)s) AS taken
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s
