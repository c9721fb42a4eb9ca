-- Constraints that were added without a look at the rows that were there, so that the planner may not rely on them.
-- Asked of a source database: PostgreSQL 14 or later.
SELECT format('%I.%I', n.nspname, c.relname) AS relation, quote_ident(k.conname) AS name, k.contype AS kind
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT k.convalidated AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY n.nspname, c.relname, k.conname
