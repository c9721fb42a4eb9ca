-- What plans depend on beside tables and statistics, as it is for this role and connection.
-- Asked of a source database.
SELECT
    current_setting('block_size')::int AS block_size,
    ARRAY(SELECT quote_ident(name) FROM unnest(current_schemas(false)) AS name) AS search_path,
    (SELECT datcollate IN ('C', 'POSIX') OR to_jsonb(d) ->> 'datlocprovider' = 'b' FROM pg_database AS d
     WHERE datname = current_database()) AS plain_order,
    (SELECT jsonb_object_agg(name, setting) FROM pg_settings
     WHERE (category LIKE 'Query Tuning /%%' OR name IN ('work_mem', 'hash_mem_multiplier',
         'max_parallel_workers_per_gather', 'max_parallel_workers', 'parallel_leader_participation', 'TimeZone', 'DateStyle', 'IntervalStyle', 'extra_float_digits'))
       AND context IN ('user', 'superuser')
       AND name NOT LIKE 'jit%%' AND name NOT IN ('plan_cache_mode', 'debug_parallel_query', 'force_parallel_mode')) AS settings
