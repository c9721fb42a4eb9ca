-- Transactions that are open, prepared ones too, and how many sessions the role may not look into.
-- Asked of a source database: PostgreSQL 14 or later.
SELECT
    pid, usename AS user_name, state, extract(epoch FROM now() - xact_start)::float8 AS seconds,
    extract(epoch FROM now() - state_change)::float8 AS state_seconds, query,
    pg_size_bytes(current_setting('track_activity_query_size')) AS query_size, 0 AS unseen
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    AND datname = current_database()
UNION ALL
SELECT NULL, owner, 'prepared', extract(epoch FROM now() - prepared)::float8, NULL, NULL, 0, 0
FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, 0, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND query = '<insufficient privilege>'
ORDER BY seconds DESC NULLS LAST
