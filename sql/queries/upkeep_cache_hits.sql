-- Pages of this database that were in the server's memory, and those that were not.
-- Asked of a source database: PostgreSQL 14 or later.
SELECT
    blks_hit::float8 AS hits, blks_read::float8 AS reads, current_setting('shared_buffers') AS shared_buffers,
    extract(epoch FROM now() - stats_reset)::float8 / 86400 AS days
FROM pg_stat_database WHERE datname = current_database()
