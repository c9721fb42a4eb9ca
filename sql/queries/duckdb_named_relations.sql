-- The tables and views of a DuckDB source, of all databases that are attached there, that have one of some names, whatever
-- their case in the letters A to Z: where they lie, what they are, and the statement that makes a table. (Those of DuckDB's
-- own views take long to be written.)
SELECT
    r.database_name = current_database() AS is_own,
    translate(r.schema_name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') AS schema_name,
    translate(r.table_name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') AS relation_name,
    r.is_table,
    r.sql
FROM (
    SELECT database_name, schema_name, table_name, NOT temporary AS is_table, sql, internal FROM duckdb_tables()
    UNION ALL
    SELECT database_name, schema_name, view_name, FALSE AS is_table, '' AS sql, internal FROM duckdb_views()
) AS r
WHERE
    NOT r.internal
    AND list_contains(
        CAST(? AS VARCHAR[]),
        translate(r.table_name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
    )
ORDER BY ALL
