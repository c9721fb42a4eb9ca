-- Settings that decide what queries cost and whether data is safe, as this role has them.
-- Asked of a source database: PostgreSQL 14 or later.
SELECT
    s.name, s.setting, current_setting(s.name) AS shown,
    pg_database_size(current_database())::float8 AS database_bytes
FROM pg_settings AS s
WHERE s.name IN (
    'autovacuum', 'track_counts', 'fsync', 'full_page_writes', 'shared_buffers', 'random_page_cost'
)
ORDER BY s.name
