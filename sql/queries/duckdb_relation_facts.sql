-- A row for each column of a relation of a DuckDB source: where it lies, the column's name, type and whether it may be
-- NULL, and whether an index begins with it. Of a relation, in every row: about how many rows it has, its unique keys,
-- and whether texts may be compared by a collation, under which equal ones can look different. DuckDB's names have no
-- case in the letters A to Z alone: «É» and «é» are two columns.
SELECT
    c.database_name || '.' || c.schema_name AS place,
    translate(c.column_name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') AS column_name,
    c.data_type,
    c.is_nullable,
    t.estimated_size,
    (
        SELECT list(k.constraint_column_names)
        FROM duckdb_constraints() AS k
        WHERE k.table_oid = c.table_oid AND k.database_oid = c.database_oid
            AND k.constraint_type IN ('PRIMARY KEY', 'UNIQUE')
    ) AS keys,
    EXISTS (
        SELECT 1 FROM duckdb_indexes() AS i
        WHERE i.table_oid = c.table_oid AND i.database_oid = c.database_oid
            AND starts_with(lower(i.expressions), '[' || lower(c.column_name))
    ) AS leads_index,
    coalesce(t.sql ILIKE '%collate%', TRUE) OR current_setting('default_collation') <> '' AS has_collation
FROM duckdb_columns() AS c
LEFT JOIN duckdb_tables() AS t ON c.table_oid = t.table_oid AND c.database_oid = t.database_oid
WHERE
    translate(c.table_name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
    = translate(CAST(? AS VARCHAR), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
    AND (c.schema_name = CAST(? AS VARCHAR) OR CAST(? AS VARCHAR) IS NULL)
    AND NOT c.internal
ORDER BY c.column_index
