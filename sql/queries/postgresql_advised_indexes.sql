-- The indexes that were built here as advised: by the comment on them, or by their names, which nobody else gives.
-- Asked of a source database: PostgreSQL 14 or later.
SELECT
    n.nspname AS schema_name,
    c.relname AS table_name,
    i.relname AS index_name,
    x.indisvalid AND x.indisready AS valid,
    coalesce(obj_description(i.oid, 'pg_class') LIKE %(mark)s || '%%', false) AS marked,
    pg_relation_size(i.oid) AS bytes,
    EXISTS (SELECT FROM pg_stat_progress_create_index AS g WHERE g.index_relid = x.indexrelid) AS building
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = i.relnamespace
WHERE NOT x.indisunique AND NOT x.indisexclusion AND (
    obj_description(i.oid, 'pg_class') LIKE %(mark)s || '%%' OR n.nspname || '.' || i.relname = ANY (%(names)s)
)
ORDER BY n.nspname, i.relname
