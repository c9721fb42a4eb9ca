-- Of some functions of a DuckDB source, those that may do more than return a value; a macro may hide one.
SELECT DISTINCT function_name
FROM duckdb_functions()
WHERE list_contains(CAST(? AS VARCHAR[]), lower(function_name))
    AND (stability = 'VOLATILE' OR (function_type LIKE '%macro' AND NOT internal))
ORDER BY function_name
