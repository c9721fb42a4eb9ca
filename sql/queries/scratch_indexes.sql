-- The indexes of these relations that plans may use, with the constraints that they belong to; and their sizes.
-- Asked of a source database. Those of partitioned tables are left out: what is planned with are those of partitions.
SELECT
    format('%%I.%%I', n.nspname, c.relname) AS table_name,
    n.nspname AS schema_name,
    i.relname AS index_name,
    m.amname AS method,
    pg_get_indexdef(x.indexrelid) AS definition,
    k.conname AS constraint_name,
    pg_get_constraintdef(k.oid) AS constraint_definition,
    coalesce(pg_relation_size(x.indexrelid), 0) AS bytes,
    i.relpages AS pages,
    i.reltuples::float8 AS row_count
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_am AS m ON m.oid = i.relam
JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_constraint AS k ON k.conindid = x.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')
WHERE x.indrelid = ANY (%(oids)s::oid[]) AND c.relkind IN ('r', 'm') AND x.indisvalid
ORDER BY x.indexrelid
