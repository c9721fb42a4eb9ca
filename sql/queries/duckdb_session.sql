-- What a connection to a DuckDB source is: its database and the file of that, whether it only reads, whether it is
-- encrypted, whether other files may be read, and the version of DuckDB; where names without a schema are looked up, its
-- time zone, and the settings on which the rows of a statement may depend. (`duckdb_settings()` takes three times as
-- long.)
SELECT
    d.database_name,
    d.path,
    d.readonly,
    d.encrypted,
    current_setting('enable_external_access') AS may_reach,
    version() AS version,
    CASE current_setting('search_path') WHEN '' THEN current_schema() ELSE '' END AS schema_name,
    current_setting('TimeZone') AS zone,
    concat_ws(
        ',',
        current_setting('Calendar'),
        current_setting('TimeZone'),
        current_setting('default_collation'),
        current_setting('default_null_order'),
        current_setting('default_order'),
        current_setting('ieee_floating_point_ops'),
        current_setting('integer_division'),
        current_setting('old_implicit_casting'),
        current_setting('order_by_non_integer_literal'),
        current_setting('scalar_subquery_error_on_multiple_rows'),
        current_setting('search_path')
    ) AS settings
FROM duckdb_databases() AS d
WHERE d.database_name = current_database()
