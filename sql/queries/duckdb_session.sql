-- What a connection to a DuckDB source is: its database and the file of that, whether it only reads, whether it is
-- encrypted, whether other files may be read, and the version of DuckDB; where names without a schema are looked up, its
-- time zone, and the settings on which the rows of a statement may depend.
SELECT
    d.database_name,
    d.path,
    d.readonly,
    d.encrypted,
    current_setting('enable_external_access') AS may_reach,
    version() AS version,
    CASE current_setting('search_path') WHEN '' THEN current_schema() ELSE '' END AS schema_name,
    (SELECT s.value FROM duckdb_settings() AS s WHERE s.name = 'TimeZone') AS zone,
    (
        SELECT string_agg(s.name || '=' || s.value, ',' ORDER BY s.name)
        FROM duckdb_settings() AS s
        WHERE s.name IN (
            'Calendar', 'TimeZone', 'default_collation', 'default_null_order', 'default_order', 'disabled_optimizers',
            'ieee_floating_point_ops', 'integer_division', 'old_implicit_casting', 'order_by_non_integer_literal',
            'scalar_subquery_error_on_multiple_rows', 'search_path'
        )
    ) AS settings
FROM duckdb_databases() AS d
WHERE d.database_name = current_database()
