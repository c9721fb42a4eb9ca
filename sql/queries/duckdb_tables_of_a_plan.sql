-- What a DuckDB source knows of a table: about how many rows it has, its columns with their types and whether they may be
-- NULL, and the columns of its unique keys. No value of a row is among it.
SELECT
    t.estimated_size,
    (
        SELECT list({'name': c.column_name, 'type': c.data_type, 'not_null': NOT c.is_nullable} ORDER BY c.column_index)
        FROM duckdb_columns() AS c
        WHERE c.table_oid = t.table_oid AND c.database_oid = t.database_oid
    ) AS columns,
    (
        SELECT list(k.constraint_column_names)
        FROM duckdb_constraints() AS k
        WHERE k.table_oid = t.table_oid AND k.database_oid = t.database_oid
            AND k.constraint_type IN ('PRIMARY KEY', 'UNIQUE')
    ) AS keys
FROM duckdb_tables() AS t
WHERE t.schema_name = CAST(? AS VARCHAR) AND t.table_name = CAST(? AS VARCHAR)
LIMIT 1
