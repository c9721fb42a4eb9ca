-- What else the planner reasons with: foreign keys between these relations, and their conditions.
-- Asked of a source database.
SELECT
    format('%%I.%%I', n.nspname, c.relname) AS table_name,
    k.conname AS constraint_name,
    pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.conrelid = ANY (%(oids)s::oid[]) AND k.convalidated AND k.conparentid = 0
  AND (k.contype = 'c' AND k.conislocal OR k.contype = 'f' AND k.confrelid = ANY (%(oids)s::oid[]))
ORDER BY k.oid
