-- Checkpoints that came by the clock, and those that came because the write-ahead log was full or somebody asked.
-- Asked of a source database: PostgreSQL 17 or later.
SELECT
    num_timed::float8 AS timed, num_requested::float8 AS requested,
    extract(epoch FROM now() - stats_reset)::float8 / 86400 AS days, current_setting('max_wal_size') AS max_wal_size,
    pg_size_bytes(current_setting('max_wal_size'))::float8 AS max_wal_bytes
FROM pg_stat_checkpointer
